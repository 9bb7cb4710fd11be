"""Training curves: a plot of loss over steps for each task, with a band over the seeds of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from petlir.benchmark.records.schema import Record
from petlir.reports.figures.axis import Axis, band, spanning

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 330, 10, 182

Series = list[tuple[int, list[float]]]
"""Training steps, each with the losses of the seeds at this step."""


@dataclass(frozen=True)
class MethodCurve:
    """The training curve of one method.

    Attributes:
        last: mean loss over seeds at the last step of the curve.
        points: the polyline of the mean loss over seeds.
        band: the polygon that spans the lowest to the highest loss of a seed; empty if there is only one seed.
    """

    label: str
    seeds: int
    colour: str
    last: float
    points: str
    band: str


@dataclass(frozen=True)
class Curves:
    """The training curves of one task."""

    task: str
    x: Axis
    y: Axis
    lines: tuple[MethodCurve, ...]


def curves(members: Sequence[Record], colours: Mapping[str, str]) -> list[Curves]:
    """Return a plot of training curves for each task on which a method was trained."""
    trained = [record for record in members if len(record.curve) > 1]
    tasks = sorted({record.cell.task for record in trained})
    return [_plot(task, [r for r in trained if r.cell.task == task], colours) for task in tasks]


def _plot(task: str, records: Sequence[Record], colours: Mapping[str, str]) -> Curves:
    seeds: dict[str, list[Record]] = {}
    for record in records:
        seeds.setdefault(record.cell.label, []).append(record)
    series = {label: _series(found) for label, found in sorted(seeds.items())}
    x = Axis(0, max(step for points in series.values() for step, _ in points), LEFT, RIGHT)
    y = spanning([loss for points in series.values() for _, values in points for loss in values], BOTTOM, TOP)
    lines = (_line(label, len(seeds[label]), points, x, y, colours) for label, points in series.items())
    return Curves(task, x, y, tuple(lines))


def _series(records: Sequence[Record]) -> Series:
    """Return the losses at the steps that all seeds share, or at all steps if the seeds share none."""
    found: dict[int, list[float]] = {}
    for record in records:
        for point in record.curve:
            found.setdefault(point.step, []).append(point.loss)
    shared = [(step, values) for step, values in sorted(found.items()) if len(values) == len(records)]
    return shared or sorted(found.items())


def _line(label: str, seeds: int, series: Series, x: Axis, y: Axis, colours: Mapping[str, str]) -> MethodCurve:
    places = [(x(step), values) for step, values in series]
    points = " ".join(f"{at},{y(fmean(values))}" for at, values in places)
    spread = band(places, y)
    return MethodCurve(label, seeds, colours.get(label, ""), fmean(series[-1][1]), points, spread)
