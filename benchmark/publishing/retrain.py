"""Retraining of a finished cell in a separate store, and comparison of the results with the record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from petlir.benchmark.cells import run
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job
from petlir.benchmark.devices import pick
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.tolerance import measured
from petlir.benchmark.records.schema import Done
from petlir.benchmark.store import Store
from petlir.benchmark.writing import copy_folder

TOLERANCE = 1e-3
"""The tolerance, in dB, of a set's mean PSNR after retraining, unless one was measured."""
LOSSES = 0.01
"""The relative tolerance of a loss on the training curve after retraining."""


def check_retrained(folder: Path, record: Done, needs: Sequence[Path], context: Context, device: str) -> None:
    """Retrain a cell, and compare its scores and curve with the record.

    Args:
        folder: a store or an unpacked archive.
        record: the cell's record.
        needs: the folders of the cells that the cell requires.
        context: plugins, images and weights.
        device: the device to train on.

    Raises:
        PetlirError: retraining fails, or a value differs from the record by more than the tolerance.
    """
    cell = record.cell
    with TemporaryDirectory(prefix="petlir-retrain-") as name:
        store = Store(Path(name)).create()
        for need in needs:
            copy_folder(need, store.root / need.relative_to(folder))
        places = tuple(need.relative_to(folder) for need in needs)
        job = Job("cell", cell.request(), context, store, places, record.key_components)
        again = run.run(job, str(pick(device)), lambda share, text: None)
    if again.state != "done":
        raise PetlirError(f"retraining ended as {again.state}: {again.reason}")
    tolerance = measured(cell.label, cell.method, cell.task, TOLERANCE)
    gap, where = max(_gaps(record, again))
    trained = f"retraining on {again.device} (recorded on {record.device}) differs by"
    if gap > tolerance:
        raise PetlirError(f"{trained} {gap:.4f} dB on {where}; expected at most {tolerance} dB")
    for said, point in zip(record.curve, again.curve, strict=True):
        if abs(said.loss - point.loss) > LOSSES * point.loss:
            raise PetlirError(f"{trained} {said.loss - point.loss:+.2g} in the loss at step {point.step}")


def _gaps(record: Done, again: Done) -> list[tuple[float, str]]:
    then, now = _means(record), _means(again)
    return [(abs(then[name] - now[name]), name) for name in now]  # scores may have been added to the record since


def _means(record: Done) -> dict[str, float]:
    """Return the mean PSNR by set and protocol; identical images count as 100 dB."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in record.rows():
        values[f"{row.set} {row.protocol}"].append(min(row.value, 100.0))
    return {name: fmean(found) for name, found in values.items()}
