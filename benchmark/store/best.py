"""The best finished cell of a store, by the PSNR on validation images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.store import Store


def validation_psnr(record: Record) -> float | None:
    """Return the validation PSNR in dB after the last training step, or None if nothing was trained."""
    psnr = record.curve[-1].validation_psnr if record.curve else None
    return None if psnr is None else float(psnr)


def best(records: Iterable[Record]) -> Done | None:
    """Return the trained cell with the highest validation PSNR; the first one in a tie."""
    trained = [record for record in records if isinstance(record, Done) and validation_psnr(record) is not None]
    return max(trained, key=lambda record: validation_psnr(record) or 0.0, default=None)


def best_folder(store: Store, task: str | None = None) -> Path:
    """Return the folder of a store's best cell for a task, over all networks, methods and budgets.

    If the images of a task have changed over time, only cells trained on the newest images are considered.

    Raises:
        PetlirError: the store holds no trained cell, or `task` is None and the store holds cells of several tasks.
    """
    trained = [record for record in store.records() if isinstance(record, Done) and record.digests.adapter]
    tasks = sorted({record.cell.task for record in trained})
    if not tasks:
        raise PetlirError(f"store {store.root} holds no trained cell; run `petlir adapt` or `petlir run` first")
    if task is None and len(tasks) > 1:
        raise PetlirError(
            f"store {store.root} holds cells of several tasks: {', '.join(tasks)}; choose one with --task"
        )
    if task is not None and task not in tasks:
        raise unknown("task in this store", task, tasks)
    own = [record for record in trained if record.cell.task == (task or tasks[0])]
    data = max(own, key=lambda record: record.finished).digests.data
    found = best(record for record in own if record.digests.data == data)
    if found is None:
        raise PetlirError(f"store {store.root}: no cell of {task or tasks[0]} has a validation score")
    return store.cell_folder(found.cell, found.key)
