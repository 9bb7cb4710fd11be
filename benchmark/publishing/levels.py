"""Import of verified cells into a store, with their levels of verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.outputs import Warn, silent
from petlir.benchmark.publishing import adapters, manifest
from petlir.benchmark.publishing.adapters import repeats
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.publishing.merging import add_missing, copy_cell
from petlir.benchmark.publishing.verify import RE_INFERRED, RE_TRAINED, VerifiedCell
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.records.origins import FILE as FILE
from petlir.benchmark.records.origins import origins as origins
from petlir.benchmark.records.schema import Done, Origin, Record
from petlir.benchmark.runs.plugin_sources import FOLDER, outside
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json

ADOPTED = (RE_INFERRED, RE_TRAINED)
"""The levels of verification at which a cell is imported; at both levels, the cell's adapter reproduced the scores."""


def adopt(folder: Path, verdicts: Sequence[VerifiedCell], store: Path, warn: Warn = silent) -> int:
    """Import an archive's verified cells and their levels of verification into a store; return the number of new cells.

    A cell whose key is already in the store is left unchanged. A cell whose restoration was not rerun is not imported.
    Neither is a cell whose adapter the store already contains under another seed; `warn` receives a line for it.
    Trials of learning rates are not imported, since rates chosen in a store must not depend on the trials of others.
    """
    submission = manifest.read(folder)
    if submission is None:
        raise PetlirError(f"{folder} has no {MANIFEST}; expected an archive made by `petlir submit`")
    into, new = Store(store).create(), 0
    present = {path.parent: record for path in into.files() if isinstance(record := read_record(path), Done)}
    for verdict in verdicts:
        record = read_record(folder / verdict.folder / RECORD)
        there = into.find(record.key) is not None or into.cell_folder(record.cell, record.key).exists()
        if verdict.level not in ADOPTED or there:
            continue
        if (other := _repeated(folder / verdict.folder, record, present)) is not None:
            warn(f"{verdict.cell} is not copied: {repeats(other)}")
            continue
        origin = Origin(
            level=verdict.level,
            by=submission.by,
            tuning=submission.tuning,
            used_test_data=submission.used_test_data,
            convergence=verdict.convergence,
        )
        write_json(
            store / FILE, origins(store) | {verdict.key: origin}
        )  # first, so that the cell never counts as the store's own
        copy_cell(folder / verdict.folder, into, record)
        for digest in outside(record.key_components["plugin"]):
            add_missing(folder / FOLDER / digest, store / FOLDER / digest)
        new += 1
    return new


def _repeated(place: Path, record: Record, present: Mapping[Path, Done]) -> Path | None:
    """Return the folder in `present` of a cell that differs only in seed and whose adapter equals that in `place`."""
    if not isinstance(record, Done) or record.cell.regime == "none":
        return None
    seeds = {one: other for one, other in present.items() if _seed_of(record, other)}
    return adapters.repeated({**seeds, place: record}).get(place)


def _seed_of(record: Done, other: Done) -> bool:
    one, two = record.cell, other.cell
    same = (one.backbone, one.label, one.task, one.track) == (two.backbone, two.label, two.task, two.track)
    return same and one.seed != two.seed
