"""Packs the finished cells of a store into one archive."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import DAMAGED, MANIFEST, pack
from petlir.benchmark.publishing.manifest import Submission
from petlir.benchmark.records.files import ADAPTER, RECORD, read_record
from petlir.benchmark.store import Store
from petlir.benchmark.weights.sources import sha256


def submit(store: Path, out: Path, by: str, tuning: str | None, used_test_data: bool) -> int:
    """Write an archive of every finished cell; returns how many there are.

    Args:
        store: the folder of the records.
        out: the archive to write.
        by: who submits.
        tuning: how learning rates and options were chosen, and by how many trials; None for what the records say.
        used_test_data: whether any choice looked at test data.

    Raises:
        PetlirError: `out` exists and is not an archive of results, the store holds no finished cell, or a cell's files
            are not what its record says; nothing was written.
    """
    _refuse_other(out)
    folders = [path.parent for path in Store(store).files() if read_record(path).state == "done"]
    if not folders:
        raise PetlirError(f"store {store} holds no finished cell; run `petlir run --store {store}` first")
    files: dict[str, Path | bytes] = {path.relative_to(store).as_posix(): path for path in _files(folders)}
    submission = Submission(
        by=by,
        tuning=tuning or _tuning(folders),
        used_test_data=used_test_data,
        created=datetime.now(UTC),
        petlir=version("petlir"),
        files={name: sha256(store / name) for name in files},
    )
    pack(files | {MANIFEST: submission.model_dump_json(indent=1).encode()}, out)
    return len(folders)


def _refuse_other(out: Path) -> None:
    """Raise PetlirError if there is a file that is not an archive of results."""
    if out.is_dir():
        raise PetlirError(f"{out} is a folder; expected the archive to write, e.g. results.zip")
    if not out.exists():
        return
    try:
        with zipfile.ZipFile(out) as archive:
            ours = MANIFEST in archive.namelist()
    except DAMAGED:
        ours = False
    if not ours:
        raise PetlirError(f"{out} exists and is not an archive made by `petlir submit`; name another file")


def _files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield folder / RECORD
        if (folder / ADAPTER).exists():
            yield folder / ADAPTER
        yield from sorted(folder.glob("restored*/*/**/*.png"))


def _tuning(folders: list[Path]) -> str:
    """What the records say of how learning rates were chosen."""
    said = {
        "tuned": "learning rates by `petlir tune`, the same grid for every method",
        "paper": "AdamW at 1e-4, nothing tuned",
        "none": "nothing trained",
    }
    regimes = {read_record(folder / RECORD).cell.regime for folder in folders}
    return "; ".join(said[regime] for regime in sorted(regimes, reverse=True))
