"""Response strengths of a method's branches: a row for each task, a dot for each branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from petlir.reports.figures.axis import Axis
from petlir.reports.figures.colours import hues

WIDTH, LEFT, RIGHT, TOP, ROW = 460, 150, 446, 10, 22
ADDED = "added"
"""The name under which an analysis lists the sum of everything that a method adds; this sum is not a branch."""
GATE = " gate"


@dataclass(frozen=True)
class Answers:
    """One task: the vertical position of its row, and the horizontal position and the strength of each branch."""

    task: str
    y: float
    dots: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Strengths:
    """The strengths of the branches of one method, or of the gates of the method.

    Attributes:
        title: the method's label, followed by `branches` or `gates`.
        x: the axis of the strengths, which starts at 0.
        bottom: the vertical position of the axis, in SVG units.
        colours: the CSS classes of each branch.
        rows: the tasks, with the position and the strength of each branch.
    """

    title: str
    x: Axis
    bottom: int
    colours: Mapping[str, str]
    rows: tuple[Answers, ...]


def strengths(rows: pd.DataFrame) -> list[Strengths]:
    """Return a figure of the branches and a figure of the gates of each method that has branches or gates."""
    found = []
    own = rows[rows.branch != ADDED]
    for label, one in own.groupby("label", sort=False):
        gates = one.branch.str.endswith(GATE)
        for what, some in (("branches", one[~gates]), ("gates", one[gates])):
            if len(some):
                found.append(_figure(f"{label}, {what}", some))
    return found


def _figure(title: str, rows: pd.DataFrame) -> Strengths:
    tasks = list(dict.fromkeys(rows.task))
    x = Axis(0, float(rows.strength.max()) * 1.05 or 1.0, LEFT, RIGHT)
    lines = tuple(_answers(str(task), place, rows[rows.task == task], x) for place, task in enumerate(tasks))
    return Strengths(title, x, TOP + ROW * len(tasks), hues(sorted(set(rows.branch))), lines)


def _answers(task: str, place: int, rows: pd.DataFrame, x: Axis) -> Answers:
    numbers = zip(rows.branch, rows.strength, strict=True)
    return Answers(task, TOP + ROW * (place + 0.5), {branch: (x(value), float(value)) for branch, value in numbers})
