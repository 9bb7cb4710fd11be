"""Stored bytes against the number of tasks N: N networks, one network for all tasks, or one network and N adapters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from petlir.benchmark.records.schema import Done, Record
from petlir.reports.costs import backbone_size
from petlir.reports.figures.axis import Axis, spanning
from petlir.reports.figures.colours import hues
from petlir.reports.formats import csv_text, joined, size
from petlir.reports.grids.curves import BOTTOM, LEFT, RIGHT, TOP
from petlir.reports.tables import kind_of

MOST = 12
"""The maximum number of lines in a plot; with more plans, only the smallest of each method and kind is drawn."""
TASKS = 10
"""The minimum length of the horizontal axis, in tasks."""
BYTES = 4
"""The size in bytes of a backbone parameter, which is stored as float32."""
MIB = 2.0**20
EACH, ONE, SHARED = "N for N", "1 for N", "1 + N for N"


@dataclass(frozen=True)
class StoragePlan:
    """The storage of a method for N tasks.

    Attributes:
        label: the label of the method.
        kind: a network for each task (`N for N`), a single network for all tasks (`1 for N`), or a single network with
            an adapter for each task (`1 + N for N`).
        fixed: stored bytes that do not depend on N.
        each: additional stored bytes for each task.
    """

    label: str
    method: str
    kind: str
    fixed: float
    each: float

    def bytes(self, tasks: int) -> float:
        """Return the bytes stored for a number of tasks."""
        return self.fixed + self.each * tasks

    @property
    def name(self) -> str:
        """The displayed name of the plan: the method's label and the kind."""
        return f"{self.label} ({self.kind})"


@dataclass(frozen=True)
class Stored:
    """The storage plot of one backbone.

    Attributes:
        backbone: the name of the backbone.
        plans: all plans, sorted by decreasing bytes for the largest number of tasks.
        tasks: the largest number of tasks on the horizontal axis.
        lines: for each drawn plan, its name, CSS classes and polyline.
    """

    backbone: str
    plans: tuple[StoragePlan, ...]
    tasks: int
    x: Axis
    y: Axis
    lines: tuple[tuple[str, str, str], ...]

    @property
    def sentence(self) -> str:
        """A caption on the stored bytes of each kind, and on the number of tasks from which adapters save storage."""
        ends = [
            f"{kind}: {size(min(found))}" + (f" to {size(max(found))}" if len(found) > 1 else "")
            for kind in (EACH, ONE, SHARED)
            if (found := [plan.bytes(self.tasks) for plan in self.plans if plan.kind == kind])
        ]
        return f"Storage for {self.tasks} tasks on {self.backbone}: {'; '.join(ends)}.{self._crossing()}"

    def _crossing(self) -> str:
        whole = next((plan for plan in self.plans if plan.kind == EACH), None)
        pieces = [plan for plan in self.plans if plan.kind == SHARED]
        if whole is None or not pieces:
            return ""
        never = sorted(plan.label for plan in pieces if plan.each >= whole.each)
        first = sorted({int(plan.fixed // (whole.each - plan.each)) + 1 for plan in pieces if plan.each < whole.each})
        if not first:
            return f" Adapters never save storage ({joined(never)})."
        said = f"with at least {' to '.join(str(n) for n in dict.fromkeys((first[0], first[-1])))} tasks"
        but = f", but never with {joined(never)}" if never else ""
        return f" Adapters save storage {said}{but}."


def stored(records: Iterable[Record]) -> list[Stored]:
    """Return a plot for each backbone with records of a trained method and of the unchanged network."""
    by_backbone: dict[str, list[Done]] = {}
    for record in records:
        if record.state == "done":
            by_backbone.setdefault(record.cell.backbone, []).append(record)
    return [one for name, some in sorted(by_backbone.items()) if (one := _stored(name, some)) is not None]


def _stored(backbone: str, records: Sequence[Done]) -> Stored | None:
    total = backbone_size(records)
    found = _plans(records, total * BYTES) if total else []
    if not found:
        return None
    tasks = max(TASKS, len({record.cell.task for record in records}))
    found.sort(key=lambda plan: (-plan.bytes(tasks), plan.name))
    drawn = found if len(found) <= MOST else list({(plan.method, plan.kind): plan for plan in found}.values())[:MOST]
    x = Axis(1, tasks, LEFT + 20, RIGHT)
    y = spanning([plan.bytes(count) / MIB for plan in drawn for count in (1, tasks)], BOTTOM, TOP, log=True)
    colours = hues([plan.name for plan in drawn])
    lines = tuple(
        (plan.name, colours[plan.name], " ".join(f"{x(n)},{y(plan.bytes(n) / MIB)}" for n in range(1, tasks + 1)))
        for plan in drawn
    )
    return Stored(backbone, tuple(found), tasks, x, y, lines)


def _plans(records: Sequence[Done], network: float) -> list[StoragePlan]:
    """Return a storage plan for each label trained on single tasks and for each label trained on a mixture of tasks."""
    by_place: dict[tuple[str, str, bool], list[Done]] = {}
    for record in records:
        cell = record.cell
        if kind_of(record) != "untrained":
            mixed = cell.task.startswith("mixture") and kind_of(record) != "composed"
            by_place.setdefault((cell.label, cell.method, mixed), []).append(record)
    return [_plan(label, method, mixed, some, network) for (label, method, mixed), some in by_place.items()]


def _plan(label: str, method: str, mixed: bool, records: Sequence[Done], network: float) -> StoragePlan:
    own, kind = fmean(record.costs.stored_bytes for record in records), kind_of(records[0])
    whole = kind == "reference"
    if kind == "composed":
        return StoragePlan(label, method, SHARED, network, own / _pieces(records[0]))
    if mixed:
        return StoragePlan(label, method, ONE, own if whole else network + own, 0.0)
    return StoragePlan(label, method, EACH if whole else SHARED, 0.0 if whole else network, own)


def _pieces(record: Done) -> int:
    """Return the number of degradations for which a composition holds an adapter."""
    return len(str(record.cell.options.get("degradations", "")).split("+"))


def csv(found: Sequence[Stored]) -> str:
    """Return the stored bytes of each plan and number of tasks as CSV."""
    rows = [
        {"backbone": one.backbone, "label": plan.label, "kind": plan.kind, "tasks": n, "bytes": round(plan.bytes(n))}
        for one in found
        for plan in one.plans
        for n in range(1, one.tasks + 1)
    ]
    return csv_text(pd.DataFrame(rows))
