"""Trains a finished cell again, in a store of its own, and compares."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from petlir.benchmark.cell import Cell
from petlir.benchmark.cells import run
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job
from petlir.benchmark.devices import pick
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.grid import restored
from petlir.benchmark.records.files import read_record
from petlir.benchmark.records.schema import Done
from petlir.benchmark.store import Store

TOLERANCE = 1e-3
"""In dB, on the mean of a set: what one type of device may differ by."""


def retrained(folder: Path, record: Done, context: Context, device: str) -> str:
    """Why training the cell again does not confirm it; empty where it does.

    Args:
        folder: the cell, in a store or an unpacked archive, beside those that it requires.
        record: its record.
        context: plugins, images and weights.
        device: where to train.
    """
    place = str(pick(device))
    trained_on = record.device
    with TemporaryDirectory(prefix="petlir-retrain-") as name:
        store = Store(Path(name)).create()
        try:
            needs = _needs(folder, record.cell.request(), context, store)
        except PetlirError as error:
            return str(error)
        job = Job("cell", record.cell.request(), context, store, needs, record.key_components)
        again = run.run(job, place, lambda share, text: None)
    if again.state != "done":
        return f"training again ended as {again.state}: {again.reason}"
    gap, where = max(_gaps(record, again))
    if gap <= TOLERANCE:
        return ""
    return (
        f"training again on {again.device} (the record: {trained_on}) differs by {gap:.4f} dB "
        f"on {where}; expected at most {TOLERANCE} dB"
    )


def _gaps(record: Done, again: Done) -> list[tuple[float, str]]:
    then, now = _means(record), _means(again)
    return [(abs(then[name] - now[name]), name) for name in now]  # a record may have been scored further since


def _means(record: Done) -> dict[str, float]:
    """Mean PSNR by set and protocol; identical images count as 100 dB."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in record.scores:
        values[f"{row.set} {row.protocol}"].append(min(float(row.psnr), 100.0))
    return {name: fmean(found) for name, found in values.items()}


def _needs(folder: Path, cell: Cell, context: Context, store: Store) -> tuple[Path, ...]:
    """Copies of the cells that this one requires, by their places in `store`."""
    method = restored(context.plugins.method(cell.method), cell.options)
    return tuple(_copied(folder.parents[3], need, cell, store) for need in method.requires(cell))


def _copied(root: Path, need: Any, cell: Cell, store: Store) -> Path:
    for path in Store(root).files():
        found = read_record(path).cell
        wanted = (need.backbone, need.label, need.task, need.seed, cell.track, cell.steps)
        if (found.backbone, found.label, found.task, found.seed, found.track, found.steps) == wanted:
            place = path.parent.relative_to(root)
            shutil.copytree(path.parent, store.root / place)
            return place
    raise PetlirError(f"it requires {need.backbone} · {need.label} · {need.task}: not among what was submitted")
