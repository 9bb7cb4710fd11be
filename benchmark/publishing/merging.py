"""Stores put together: of several machines or groups, for one report."""

from __future__ import annotations

import shutil
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.levels import FILE, origins
from petlir.benchmark.records.files import read_record
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json

SHARED = ("images", "tuning")
"""What cells share: degraded and clean images, trials of learning rates."""


def merge(source: Path, into: Path) -> int:
    """Take over the cells of a store that another does not have, with what they share; returns how many.

    A cell that is there already, by its key, stays as it is, and so does every file. What was verified of a cell goes
    along. A cell that is not whole is not seen: it arrives by one renaming.

    Args:
        source: the store to read; it is left as it is.
        into: the store to add to, made where missing.

    Raises:
        PetlirError: the source holds no record, a record is damaged, or `into` cannot be written.
    """
    found = {read_record(path).key: path.parent for path in Store(source).files()}
    if not found:
        raise PetlirError(f"store {source} holds no records; expected cells/BACKBONE/TASK/CELL/record.json")
    target = Store(into).create()
    there = {record.key for record in target.records()}
    for key in (new := sorted(found.keys() - there)):
        work = target.root / "work" / f"{key}.merged"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(found[key], work)
        target.commit(work, target.root / found[key].relative_to(source))
    for name in SHARED:
        _add(source / name, into / name)
    known = {key: origin for key, origin in origins(source).items() if key in new}
    if known:
        write_json(into / FILE, origins(into) | known)
    return len(new)


def _add(source: Path, into: Path) -> None:
    """Copy the files of a folder that another does not have."""
    for path in source.rglob("*"):
        target = into / path.relative_to(source)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
