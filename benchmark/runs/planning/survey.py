"""The plan of a request: the state of each cell, and the predicted costs of unfinished cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from petlir.benchmark.errors import counted
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.planned import Planned, state
from petlir.benchmark.runs.planning.prediction import Prediction, Predictor, gib
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.store.index import Index
from petlir.benchmark.store.remote import store_at

OPEN = ("missing", "stale", "failed", "to be tuned")
"""The states in which a run processes a cell."""
Taken = tuple[float | None, int | None, str]
NOTHING: Taken = (None, None, "")


@dataclass(frozen=True)
class PlanRow:
    """The row of a plan for one cell: its state and predicted costs.

    Attributes:
        cell: description of the cell.
        label: label of the cell's method.
        task: the cell's task.
        state: `done`, `failed`, `stale`, `missing`, `to be tuned` or `not-applicable`.
        why: for a stale cell, the changes since its record was written; for a cell to be tuned, the number of trials
            that are still needed; otherwise the obstacle or fault, if any.
        seconds: predicted time; for the first of the cells that share a learning rate, it includes the trials that are
            still needed. None if there is nothing to do or the time is unknown.
        bytes: predicted peak memory; None if there is nothing to do or the memory is unknown.
        unfit: why the cell does not fit into the device's memory with whole batches; empty if it fits.
    """

    cell: str
    label: str
    task: str
    state: str
    why: str
    seconds: float | None
    bytes: int | None
    unfit: str

    def __str__(self) -> str:
        took = "" if self.seconds is None else f"{duration(self.seconds):>8}"
        size = "" if self.bytes is None else f"{gib(self.bytes):>9}"
        return f"{self.state:<15} {took:<8} {size:<9} {self.cell}  {'; '.join(filter(None, (self.why, self.unfit)))}"


def survey(
    asked: Request, folder: Path | str, device: str = "auto", warn: Callable[[str], None] = lambda line: None
) -> list[PlanRow]:
    """Return a row for each cell with its state, predicted costs and, if it is stale, the changes; run no cell.

    Args:
        asked: the request.
        folder: the store.
        device: device for which to predict the costs.
        warn: called with a line for each part of the request that cannot be satisfied, and before slow operations.
    """
    planner, store = Planner(replace(asked, device=device)), store_at(folder)
    store.refresh()
    rates, index = Rates(planner, store), Index.from_store(store)
    for line in (*planner.missed, *asked.context.notes):
        warn(line)
    planned = [rates.planned(cell) for cell in planner.cells]
    predictor = Predictor(planner, index, device)
    standing = [_standing(one, rates, index) for one in planned]
    todo = [one for one, (found, _) in zip(planned, standing, strict=True) if found in OPEN]
    if lacking := predictor.lacking(todo):
        warn(f"counting the costs of {counted(lacking, 'distinct cell')}; the counts are cached")
    predicted = iter(list(_predicted(todo, predictor, rates)))
    predictor.close()
    return [
        PlanRow(
            str(one.cell), one.cell.label, one.cell.task, found, why, *(next(predicted) if found in OPEN else NOTHING)
        )
        for one, (found, why) in zip(planned, standing, strict=True)
    ]


def _predicted(todo: list[Planned], predictor: Predictor, rates: Rates) -> Iterator[Taken]:
    tuned: set[str] = set()
    for one in todo:
        found: Prediction = predictor.predict(one)
        seconds = found.seconds
        if seconds is not None and one.cell.regime == "tuned" and one.fault is not None:
            selection = one.cell.selection
            trials, halves = rates.left(one.cell)
            seconds *= 1 if selection in tuned else 1 + trials + halves / 2
            tuned.add(selection)
        yield seconds, found.bytes, found.obstacle(predictor.capacity, predictor.device)


def _standing(one: Planned, rates: Rates, index: Index) -> tuple[str, str]:
    if one.obstacle is not None:
        return "not-applicable", one.obstacle
    lack = rates.planner.unavailable(one.cell)
    if lack is None and one.cell.regime == "tuned" and rates.selection(one.cell) is None:
        trials, halves = rates.left(one.cell)
        needs = f"first needs {counted(trials, 'trial')}, and {counted(halves, 'trial')} with half the steps"
        return "to be tuned", needs
    found = state(one, index)
    return found, rates.planner.changed(one, index) if found == "stale" else one.fault or ""


def totals(rows: list[PlanRow]) -> str:
    """Return a line with the predicted total cost, and a line for each cell that exceeds the device's memory."""
    todo = [row for row in rows if row.state in OPEN]
    known = [row.seconds for row in todo if row.seconds is not None]
    largest = max(todo, key=lambda row: row.bytes or 0, default=None)
    peak = f", at most {gib(largest.bytes)} ({largest.cell})" if largest and largest.bytes else ""
    unknown = f"; {len(todo) - len(known)} of them cannot be predicted" if len(known) < len(todo) else ""
    unfit = [f"{row.cell}: {row.unfit}" for row in rows if row.unfit]
    total = counted(len(rows), "cell")
    done = f"{len(todo)} of {total} to do: about {duration(sum(known))} on one device{peak}{unknown}"
    return "\n".join([done, *unfit])


def duration(seconds: float) -> str:
    """Format seconds as a duration."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def as_rows(rows: list[PlanRow]) -> list[dict[str, object]]:
    """Convert the rows to dictionaries for JSON output."""
    return [asdict(row) for row in rows]
