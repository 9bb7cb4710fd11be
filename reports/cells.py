"""The list of all cells, including missing seeds: seeds that a method lacks on a task, but another method has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from petlir.benchmark.records.groups import Group, grouped
from petlir.benchmark.records.schema import Record
from petlir.benchmark.statistics.convergence import converged


@dataclass(frozen=True)
class CellRow:
    """A row of the list of cells; missing cells have no key and no date."""

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
    """Return all cells, those without a result first."""
    found = {_line(record) for record in records}
    for group, members in grouped(records).items():
        found |= _missing(group, members)
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
    """Return a row for each seed that a method lacks on a task, although another method has a record with this seed.

    A method without any record on a task was not requested on this task, so no seed of the method counts as missing.
    Records of plans that add seeds until methods separate are ignored, since such plans do not request every method
    with every seed.
    """
    trained = [record for record in members if record.cell.regime != "none" and record.plan is None]
    seeds: dict[tuple[str, str], set[int]] = {}
    asked: dict[str, set[int]] = {}
    for cell in (record.cell for record in trained):
        seeds.setdefault((cell.label, cell.task), set()).add(cell.seed)
        asked.setdefault(cell.task, set()).add(cell.seed)
    return {
        CellRow(group.backbone, label, task, group.track, seed, group.regime, "missing", "no record in this store")
        for (label, task), there in seeds.items()
        for seed in asked[task] - there
    }
