"""Plots of one value for each tensor or projection of a network, in the order of computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from petlir.reports.figures.axis import Axis, spanning
from petlir.reports.figures.colours import hues
from petlir.reports.figures.curves import BOTTOM, LEFT, RIGHT, TOP


@dataclass(frozen=True)
class Region:
    """Adjacent layers of one part of the network, drawn from `left` to `right` in SVG units."""

    name: str
    left: float
    right: float


@dataclass(frozen=True)
class Layers:
    """The plot of one cell, with the values of all layers.

    Attributes:
        label: the label of the cell's method.
        task: the task of the cell.
        y: the vertical axis, which shows the values.
        regions: the parts of the network, from left to right.
        marks: for each combination of CSS classes, the SVG path of its dots or bars.
        width: width of a bar, in SVG units; 0 for dots.
    """

    label: str
    task: str
    y: Axis
    regions: tuple[Region, ...]
    marks: Mapping[str, str]
    width: float = 0.0


def contributions(rows: pd.DataFrame) -> tuple[dict[str, str], list[Layers]]:
    """Return the CSS classes of each kind of tensor, and a plot for each fully fine-tuned cell.

    Each tensor is drawn as a dot. The vertical axis is logarithmic, so tensors that contribute nothing have no dot.
    """
    tensors = rows[(rows.level == "tensor") & (rows["mean"] > 0) & rows.kind.notna()]
    colours = hues(sorted(tensors.kind.unique()))
    return colours, [_dots(label, task, one, colours) for (label, task), one in _cells(tensors)]


def ranks(rows: pd.DataFrame) -> list[Layers]:
    """Return a plot of ranks for each cell, with a bar for every projection.

    A method is left out if all its nonzero ranks are equal and its ranks are the same on every task.
    """
    found = rows[rows.level == "rank"]
    labels = [label for label, one in found.groupby("label", sort=False) if _differ(one)]
    return [_bars(label, task, one) for (label, task), one in _cells(found[found.label.isin(labels)])]


def _differ(rows: pd.DataFrame) -> bool:
    tasks = {tuple(one["rank"]) for _, one in rows.groupby("task")}
    return len(tasks) > 1 or len(set(*tasks) - {0}) > 1


def _cells(rows: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    return [((str(label), str(task)), one) for (label, task), one in rows.groupby(["label", "task"], sort=False)]


def _dots(label: str, task: str, rows: pd.DataFrame, colours: Mapping[str, str]) -> Layers:
    x, y = _along(rows), spanning(rows["mean"], BOTTOM, TOP, log=True)
    marks = dict.fromkeys(colours, "")
    for place, (kind, mean) in enumerate(zip(rows.kind, rows["mean"], strict=True)):
        marks[kind] += f"M{x(place)} {y(mean)}h0"
    return Layers(label, task, y, _regions(rows, x), {colours[kind]: path for kind, path in marks.items() if path})


def _bars(label: str, task: str, rows: pd.DataFrame) -> Layers:
    x, y = _along(rows), Axis(0, float(rows["rank"].max()), BOTTOM, TOP)
    path = "".join(f"M{x(place)} {y(0)}V{y(rank)}" for place, rank in enumerate(rows["rank"]) if rank)
    return Layers(label, task, y, _regions(rows, x), {"hue-0": path}, round(0.7 * (x(1) - x(0)), 1))


def _along(rows: pd.DataFrame) -> Axis:
    """Return the horizontal axis, with a position for each row and a margin of half a position at both ends."""
    return Axis(-0.5, len(rows) - 0.5, LEFT, RIGHT)


def _regions(rows: pd.DataFrame, x: Axis) -> tuple[Region, ...]:
    found = []
    for name, several in groupby(enumerate(rows.place), key=lambda one: str(one[1])):
        places = [place for place, _ in several]
        found.append(Region(name, x(places[0] - 0.5), x(places[-1] + 0.5)))
    return tuple(found)
