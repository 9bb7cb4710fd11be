"""The list of all cells, those included that a table would expect and the store does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from petlir.benchmark.records.groups import Group, groups
from petlir.benchmark.records.schema import Record
from petlir.benchmark.statistics.convergence import converged


@dataclass(frozen=True)
class CellRow:
    """One line of the list; a missing cell has neither key nor date."""

    backbone: str
    label: str
    task: str
    track: str
    seed: int
    regime: str
    state: str
    reason: str = ""
    rate: float | None = None
    budget: str = ""
    converged: bool | None = None
    device: str = ""
    finished: str = ""
    key: str = ""


def listed(records: Sequence[Record]) -> list[CellRow]:
    """All cells, those without a result first."""
    found = {_line(record) for record in records}
    for group in groups(records):
        found |= _missing(group, group.select(records))
    return sorted(found, key=lambda c: (c.state == "done", c.state, c.backbone, c.task, c.label, c.seed, c.key))


def _line(record: Record) -> CellRow:
    cell = record.cell
    return CellRow(
        cell.backbone,
        cell.label,
        cell.task,
        cell.track,
        cell.seed,
        cell.regime,
        record.state,
        record.reason or "",
        cell.learning_rate,
        cell.budget,
        converged(record.convergence),
        record.environment.device,
        str(record.finished),
        record.key,
    )


def _missing(group: Group, members: Sequence[Record]) -> set[CellRow]:
    """Every method is expected on every task of its table, with every seed where it trains."""
    cells = [record.cell for record in members]
    trained = {cell.label for cell in cells if cell.regime != "none"}
    seeds = {cell.seed for cell in cells if cell.regime != "none"}
    there = {(cell.label, cell.task, cell.seed) for cell in cells}
    untrained = {(cell.label, cell.task) for cell in cells if cell.regime == "none"}
    expected = {
        (label, task, seed)
        for label in {cell.label for cell in cells}
        for task in {cell.task for cell in cells}
        for seed in (seeds if label in trained else {0})
        if (label, task) not in untrained
    }
    return {
        CellRow(group.backbone, label, task, group.track, seed, group.regime, "missing", "no record in this store")
        for label, task, seed in expected - there
    }
