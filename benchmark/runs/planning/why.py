"""Reasons to reprocess a finished cell: the key components that have changed since its record was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.cells.context import Context
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.store import Store


@dataclass(frozen=True)
class Change:
    """A changed key component; `then` or `now` is empty if the component did not exist."""

    ingredient: str
    then: str
    now: str

    def __str__(self) -> str:
        then, now = self.then.split(), self.now.split()  # only the parts that differ
        parted = [" ".join(part for part in own if part not in other) for own, other in ((then, now), (now, then))]
        return f"{self.ingredient}: {' → '.join(map(_short, parted))}"


def _short(value: str) -> str:
    return f"{value[:12]}…" if len(value) == 64 else value or "none"


def changes(folder: Path, context: Context) -> list[Change]:
    """Return the key components that differ between a cell's record and a new plan of the same cell.

    Args:
        folder: the cell's folder, in its store.
        context: current plugins, images and weights.

    Raises:
        PetlirError: the folder does not contain a record, or the cell can no longer be planned.
    """
    record = read_record(folder / RECORD)
    cell = record.cell.request()
    request = Request(
        cell.backbone, cell.method, cell.task, cell.track, str(cell.seed), cell.steps or None,
        None if cell.regime == "none" else cell.regime, context=context,
    )  # fmt: skip
    now = Rates(Planner(request), Store(folder.resolve().parents[3])).planned(cell).parts
    then = record.key_components
    names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
    return [Change(name, then.get(name, ""), now.get(name, "")) for name in names]
