"""A report as a self-contained folder of pages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.protocol import Protocol
from petlir.benchmark.scoring.registry import METRICS
from petlir.benchmark.store.reading import without_collection
from petlir.benchmark.writing import copy_folder
from petlir.reports.context import ReportContext
from petlir.reports.export import csv
from petlir.reports.frame import load
from petlir.reports.pages import FOLDERS, pages
from petlir.reports.templating import HERE, templates

STATIC = "static"
RESULTS = "results.csv"
OWN_FOLDERS = (*FOLDERS, "images", STATIC)


def write_report(
    store: Path, out: Path, extra_protocols: Sequence[Protocol] = (), reference: Path | None = None
) -> Path:
    """Write the report of a store: `out/index.html`, and the pages, `results.csv` and images to which it links.

    An earlier report in `out` is replaced; the new first page is moved to `out` last, atomically.

    Args:
        store: the folder that holds the records.
        out: the folder to write into; it can be sent, zipped or published as is.
        extra_protocols: additional protocols for scoring the stored images, each in its own columns.
        reference: a second store; the summary and the tables of its report are added to the first page.

    Returns:
        The first page.

    Raises:
        PetlirError: the store holds no record, the stored images do not suffice for an extra protocol, or `out` cannot
            be written or contains files that the report would overwrite but that are not part of a report.
    """
    with without_collection():
        return _write(store, out, extra_protocols, reference)


def _write(store: Path, out: Path, extra_protocols: Sequence[Protocol], reference: Path | None) -> Path:
    problems: list[str] = []
    records = load(store, lambda line: problems.append(line.replace(f"{store}{os.sep}", "")), extra_protocols)
    if not records:
        raise PetlirError(f"store {store} holds no records; expected cells/BACKBONE/TASK/CELL/record.json")
    _refuse_others(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as name:
            beside = ReportContext(reference, load(reference, problems.append), problems) if reference else None
            _build(ReportContext(store, records, problems, beside), Path(name))
            return _replace(Path(name), out)
    except OSError as error:
        raise PetlirError(f"cannot write the report into {out}: {error.strerror}") from error


def _refuse_others(out: Path) -> None:
    """Raise PetlirError if files that the report would replace are not part of a report."""
    there = [name for name in (*OWN_FOLDERS, "index.html", RESULTS) if (out / name).exists()]
    if there and not _ours(out / "index.html"):
        raise PetlirError(f"{out} holds `{there[0]}`, which is not part of a report; name another folder")


def _ours(page: Path) -> bool:
    if not page.is_file():
        return False
    with page.open(encoding="utf-8", errors="replace") as file:
        return 'name="generator" content="petlir"' in file.read(2000)


def _build(context: ReportContext, folder: Path) -> None:
    """Write the whole report into a folder."""
    copy_folder(HERE / STATIC, folder / STATIC)
    with (folder / STATIC / "style.css").open("a", encoding="utf-8") as file:
        file.writelines(f"[data-metric={name}] .v.{name} {{ display: inline }}\n" for name in METRICS)
    for name in ("images", *FOLDERS):
        (folder / name).mkdir()
    made = templates()
    for one in pages(context, folder / "images"):
        if one.source:
            content = one.source.read_bytes()
        else:
            root = "../" * one.path.count("/")
            content = made.get_template(one.template).render(root=root, here=one.path, **one.values).encode()
        with open(f"{folder}/{one.path}", "wb") as file:  # noqa: PTH123 - a third faster than Path.open
            file.write(content)
    (folder / RESULTS).write_text(csv(context.tables), encoding="utf-8")


def _replace(new: Path, out: Path) -> Path:
    """Replace the old report with the new report; the first page is replaced last."""
    for page in new.glob("*.html"):
        if (out / page.name).exists() and not _ours(out / page.name):
            raise PetlirError(f"{out} holds `{page.name}`, which is not part of a report; name another folder")
    old = new / "old"
    old.mkdir()
    files = [page.name for folder in (new, out) for page in folder.glob("*.html") if _ours(page)]
    for name in (*OWN_FOLDERS, *dict.fromkeys(name for name in files if name != "index.html")):
        if (out / name).exists():
            (out / name).rename(old / name)
        if (new / name).exists():
            (new / name).rename(out / name)
    for name in (RESULTS, "index.html"):
        os.replace(new / name, out / name)  # noqa: PTH105 - replaces an existing file on every system
    return out / "index.html"
