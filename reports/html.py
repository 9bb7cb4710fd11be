"""Records to one page that needs nothing but its own folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import PetlirError
from benchmark.protocol import Protocol
from reports.export import csv
from reports.frame import Record, load
from reports.page import render
from reports.tables import tables
from reports.titles import built_in_tasks


def write_report(store: Path, out: Path, lens: Sequence[Protocol] = ()) -> Path:
    """Write the report of a store: `out/index.html`, `out/results.csv` and the pictures in `out/images`.

    An earlier report in `out` is replaced; the page appears last, and whole.

    Args:
        store: the folder that holds the records.
        out: the folder to write into; it may be sent or zipped as it is.
        lens: protocols that the stored images are scored under too, each in columns of its own.

    Returns:
        The page.

    Raises:
        PetlirError: the store holds no record, the lens asks for what stored images do not tell, or `out` cannot be
            written or holds someone else's images.
    """
    problems: list[str] = []
    records = load(store, lambda line: problems.append(line.replace(f"{store}{os.sep}", "")), lens)
    if not records:
        raise PetlirError(f"store {store} holds no records; expected cells/BACKBONE/TASK/CELL/record.json")
    if (out / "images").exists() and not _ours(out / "index.html"):
        raise PetlirError(f"{out} holds an `images` folder that is no report's; name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as name:
            return _replace(_build(store, records, problems, Path(name)), out)
    except OSError as error:
        raise PetlirError(f"cannot write the report into {out}: {error.strerror}") from error


def _ours(page: Path) -> bool:
    return page.is_file() and 'name="generator" content="petlir"' in page.read_text(encoding="utf-8")[:2000]


def _build(store: Path, records: Sequence[Record], problems: list[str], folder: Path) -> Path:
    """The whole report in a folder of its own."""
    tasks = built_in_tasks()
    results = tables(records, tasks)
    images = folder / "images"
    images.mkdir()
    page = render(store, records, results, tasks, problems, images)
    (folder / "index.html").write_text(page, encoding="utf-8")
    (folder / "results.csv").write_text(csv(results), encoding="utf-8")
    return folder


def _replace(new: Path, out: Path) -> Path:
    """Put the new report where the old one is, the page last."""
    if (out / "images").exists():
        (out / "images").rename(new / "old-images")
    (new / "images").rename(out / "images")
    for name in ("results.csv", "index.html"):
        os.replace(new / name, out / name)  # noqa: PTH105 - one verb for "over what is there"
    shutil.rmtree(new / "old-images", ignore_errors=True)
    return out / "index.html"
