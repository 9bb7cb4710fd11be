"""Quality over size: the gain of each method over the frozen backbone against its trainable parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from reports.axis import Axis, spanning
from reports.results import CASCADE, FROZEN, INPUT, Column, Row, Table

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 740, 16, 356
LINE = 15
"""Height of a label in SVG units."""


@dataclass(frozen=True)
class Point:
    """A method in the plot: its gain in dB, where it stands, and where its label goes."""

    label: str
    kind: str
    colour: str
    trainable: float
    gain: float
    x: float
    y: float
    text_x: float
    text_y: float
    anchor: str


@dataclass(frozen=True)
class Level:
    """An untrained baseline: a line across the plot, with the height of its label."""

    label: str
    gain: float
    y: float
    text_y: float


@dataclass(frozen=True)
class Plot:
    """One choice of tasks; `frontier` is empty where nothing may be ranked."""

    title: str
    unranked: str
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    levels: tuple[Level, ...]
    frontier: str
    left_out: tuple[str, ...]


def plots(table: Table, colours: Mapping[str, str]) -> list[Plot]:
    """The mean over the tasks of each kind of transfer, and every column by itself; the fullest first."""
    scored = [index for index, column in enumerate(table.columns) if column.set]
    kinds = sorted({table.columns[index].transfer for index in scored})
    choices = [(f"Mean over {kind} tasks", [i for i in scored if table.columns[i].transfer == kind]) for kind in kinds]
    choices = [(f"{title} ({len(chosen)})", chosen) for title, chosen in choices if len(chosen) > 1]
    choices += [(f"{_name(table.columns[index])}", [index]) for index in scored]
    made = [plot for title, chosen in choices if (plot := _plot(title, table, chosen, colours))]
    return sorted(made, key=lambda plot: -len(plot.points))


def _name(column: Column) -> str:
    return f"{column.title}, {column.set}, {column.protocol}"


def _gain(row: Row, chosen: Sequence[int]) -> float | None:
    """Mean gain over frozen in dB; None where a chosen column has none."""
    gains = [row.values[index].frozen for index in chosen]
    known = [gain for gain in gains if gain is not None]
    return fmean(known) if len(known) == len(chosen) else None


def _plot(title: str, table: Table, chosen: Sequence[int], colours: Mapping[str, str]) -> Plot | None:
    gains = {row.label: _gain(row, chosen) for row in table.rows}
    trained = [row for row in table.rows if row.kind in ("petl", "full")]
    drawn = [(row, gain) for row in trained if (gain := gains[row.label]) is not None and row.costs]
    if not drawn:
        return None
    lines = {label: gain for label in (INPUT, FROZEN, CASCADE) if (gain := gains.get(label)) is not None}
    x = spanning([row.costs.trainable for row, _ in drawn if row.costs], LEFT, RIGHT - 90, log=True)
    y = spanning([gain for _, gain in drawn] + list(lines.values()), BOTTOM, TOP)
    points = _points(drawn, x, y, colours)
    reasons = sorted({table.columns[index].unranked for index in chosen} - {""})
    return Plot(
        title,
        "; ".join(reasons),
        x,
        y,
        tuple(points),
        tuple(_levels(lines, y)),
        "" if reasons else frontier(points),
        tuple(row.label for row in trained if gains[row.label] is None),
    )


def _points(drawn: Sequence[tuple[Row, float]], x: Axis, y: Axis, colours: Mapping[str, str]) -> list[Point]:
    """The methods from high to low; a label that would lie on another goes below it."""
    placed: list[Point] = []
    for row, gain in sorted(drawn, key=lambda pair: -pair[1]):
        assert row.costs is not None
        at, height = x(row.costs.trainable), y(gain)
        near = [point.text_y for point in placed if abs(point.x - at) < 110]
        text_y = max([height + 4, *(other + LINE for other in near)])
        anchor, text_x = ("start", at + 10) if at < RIGHT - 150 else ("end", at - 10)
        colour = colours.get(row.label, "")
        placed.append(Point(row.label, row.kind, colour, row.costs.trainable, gain, at, height, text_x, text_y, anchor))
    return placed


def _levels(lines: Mapping[str, float], y: Axis) -> list[Level]:
    """The untrained baselines from high to low, their labels apart."""
    placed: list[Level] = []
    for label, gain in sorted(lines.items(), key=lambda pair: -pair[1]):
        lowest = placed[-1].text_y + LINE if placed else -math.inf
        placed.append(Level(label, gain, y(gain), max(y(gain) - 4, lowest)))
    return placed


def frontier(points: Sequence[Point]) -> str:
    """The PETL methods that none with fewer parameters equals, as the points of a polyline."""
    best, steps = -math.inf, []
    for point in sorted((p for p in points if p.kind == "petl"), key=lambda p: (p.trainable, -p.gain)):
        if point.gain > best:
            best = point.gain
            steps.append(f"{point.x},{point.y}")
    return " ".join(steps)
