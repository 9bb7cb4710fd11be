"""The training memory that each method saves compared with full fine-tuning, by memory component."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from petlir.reports.costs import PARTS
from petlir.reports.figures.axis import Axis
from petlir.reports.results import FULL, Table

WIDTH, LEFT, RIGHT, TOP = 760, 190, 690, 10
STEP, GAP = 5, 9
"""Height of the bar of a component, and space between methods, in SVG units."""
ROW = STEP * len(PARTS) + GAP
MIB = 2.0**20


@dataclass(frozen=True)
class Fall:
    """The bar of one memory component: the method's bytes minus full fine-tuning's bytes, and the bar's position."""

    part: str
    change: float
    left: float
    width: float
    y: float


@dataclass(frozen=True)
class Falls:
    """One method: its total memory in bytes, and the bars from full fine-tuning's total to the method's total."""

    label: str
    total: float
    y: float
    parts: tuple[Fall, ...]


@dataclass(frozen=True)
class Waterfall:
    """The bars of a table's PETL methods on an axis in MiB; `start` is full fine-tuning's total memory in bytes."""

    start: float
    x: Axis
    height: int
    rows: tuple[Falls, ...]


def waterfall(table: Table) -> Waterfall | None:
    """Return the differences in training memory between full fine-tuning and each PETL method.

    The result is None if the table lacks the costs of full fine-tuning, or if no PETL method in the table has costs.
    """
    full = table.row(FULL)
    memories = {row.label: row.costs.memory for row in table.rows if row.costs and row.kind == "petl"}
    if full is None or full.costs is None or not memories:
        return None
    base = full.costs.memory
    highest = max(max(accumulate(_changes(memory, base), initial=sum(base))) for memory in memories.values())
    x = Axis(0.0, highest / MIB, LEFT, RIGHT)
    rows = tuple(_falls(label, memory, base, x, place) for place, (label, memory) in enumerate(memories.items()))
    return Waterfall(sum(base), x, TOP + ROW * len(rows) + 30, rows)


def _changes(memory: tuple[float, ...], base: tuple[float, ...]) -> list[float]:
    return [own - other for own, other in zip(memory, base, strict=True)]


def _falls(label: str, memory: tuple[float, ...], base: tuple[float, ...], x: Axis, place: int) -> Falls:
    top = TOP + ROW * place
    changes = _changes(memory, base)
    totals = pairwise(total / MIB for total in accumulate(changes, initial=sum(base)))
    parts = tuple(
        Fall(part, change, x(min(before, after)), max(round(abs(x(after) - x(before)), 1), 0.5), top + STEP * index)
        for index, (part, change, (before, after)) in enumerate(zip(PARTS, changes, totals, strict=True))
    )
    return Falls(label, sum(memory), top + STEP * len(PARTS) / 2, parts)
