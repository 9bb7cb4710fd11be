"""Merging of stores, e.g. from several machines or groups, for one report."""

from __future__ import annotations

import shutil
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.records.files import ADAPTER, read_record
from petlir.benchmark.records.origins import FILE, origins
from petlir.benchmark.records.schema import Record
from petlir.benchmark.runs.plugin_sources import FOLDER
from petlir.benchmark.store import Store
from petlir.benchmark.writing import copy_folder, write_bytes, write_json

SHARED = ("images", "tuning", FOLDER)
"""The folders that cells share: degraded and clean images first, then trials of learning rates and sources of
plugins.
"""


def merge(source: Path, into: Path, *, without_images: bool = False) -> int:
    """Copy from `source` the cells that `into` lacks and the files that cells share; return the number of cells.

    Cells (compared by key) and files that exist in `into` are left unchanged. The cells' levels of verification are
    also copied. Incomplete cells are never visible, as each cell is put in place by a single rename.

    Args:
        source: the store to read; it is not changed.
        into: the store to which the cells are added, which is created if missing.
        without_images: omit images and the adapters of reference methods; cells of PETL methods can still be verified.

    Raises:
        PetlirError: the source holds no record or is a submission, a record is damaged, or `into` cannot be written.
    """
    if (source / MANIFEST).exists():
        raise PetlirError(f"{source} is a submission; add it with `petlir verify {source} --into {into}`")
    found = {(record := read_record(path)).key: (path.parent, record) for path in Store(source).files()}
    if not found:
        raise PetlirError(f"store {source} holds no records; expected cells/BACKBONE/TASK/CELL/record.json")
    target = Store(into).create()
    there = {record.key for record in target.records()}
    new = sorted(found.keys() - there)
    known = {key: origin for key, origin in origins(source).items() if key in new}
    if known:
        write_json(into / FILE, origins(into) | known)
    for key in new:
        copy_cell(found[key][0], target, found[key][1], without_images=without_images)
    for name in SHARED[without_images:]:
        add_missing(source / name, into / name)
    return len(new)


def copy_cell(folder: Path, into: Store, record: Record, *, without_images: bool = False) -> None:
    """Copy a cell into a store and put it in place by a single rename; see `merge` for `without_images`.

    Raises:
        PetlirError: the target folder contains another cell, whose key starts with the same digits.
        Unwritable: the cell cannot be copied.
    """
    if (target := into.cell_folder(record.cell, record.key)).exists():
        raise PetlirError(f"{target} holds a different cell from the one with key {record.key} and is not replaced")
    work = into.root / "work" / f"{record.key}.merged"
    shutil.rmtree(work, ignore_errors=True)
    left_out = ("restored*", *([ADAPTER] if record.cell.reference else [])) if without_images else ()
    copy_folder(folder, work, left_out)
    into.commit(work, target)


def add_missing(source: Path, into: Path) -> None:
    """Copy the files of `source` that `into` lacks, each of them atomically."""
    for path in source.rglob("*"):
        target = into / path.relative_to(source)
        if path.is_file() and not target.exists():
            write_bytes(target, path.read_bytes())
