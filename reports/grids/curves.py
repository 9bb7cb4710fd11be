"""Curves of a named grid: the mean PSNR over seeds, with a band from the lowest to the highest PSNR of a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from petlir.reports.figures.axis import Axis, band, spanning
from petlir.reports.figures.colours import hues
from petlir.reports.grids.points import GridPoint

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 46, 448, 10, 242
FEW = 6
"""The maximum number of positions on the axis that each get a tick; with more positions, ticks are at round values."""


@dataclass(frozen=True)
class Curve:
    """The curve of one series of points.

    Attributes:
        name: name of the series.
        colour: the CSS classes of the curve.
        points: points in the order of the axis.
        line: the polyline of the mean PSNR over seeds, in SVG units.
        band: the polygon between the lowest and the highest PSNR of all seeds at each point; empty if no point has
            several seeds.
    """

    name: str
    colour: str
    points: tuple[GridPoint, ...]
    line: str
    band: str


@dataclass(frozen=True)
class HorizontalLine:
    """The horizontal line of a baseline, which has no position on the horizontal axis."""

    name: str
    mean: float
    y: float


@dataclass(frozen=True)
class FigureCurves:
    """The curves and horizontal lines of one figure."""

    x: Axis
    y: Axis
    curves: tuple[Curve, ...]
    levels: tuple[HorizontalLine, ...]

    @property
    def ticks(self) -> list[float]:
        """The positions of ticks: the positions of the points if at most `FEW` are distinct, otherwise round values."""
        found = sorted({point.x for curve in self.curves for point in curve.points if point.x is not None})
        return found if len(found) <= FEW else self.x.ticks


def drawing(found: Sequence[GridPoint], log: bool) -> FigureCurves | None:
    """Return the curves of the points; None if no series has two positions on the horizontal axis."""
    series = along(found)
    drawn = [point for some in series.values() for point in some]
    if not drawn:
        return None
    flat = {name: some for name, some in by_series(found).items() if name not in series}
    x = spanning([point.x for point in drawn if point.x is not None], LEFT, RIGHT, log)
    values = [value for point in drawn for value in point.seeds] + [
        point.mean for some in flat.values() for point in some
    ]
    y = spanning(values, BOTTOM, TOP)
    colours = hues(sorted(series))
    curves = tuple(_curve(name, colours[name], some, x, y) for name, some in series.items())
    means = {name: sum(point.mean for point in some) / len(some) for name, some in flat.items()}
    return FigureCurves(
        x, y, curves, tuple(HorizontalLine(name, mean, y(mean)) for name, mean in sorted(means.items()))
    )


def by_series(found: Sequence[GridPoint]) -> dict[str, list[GridPoint]]:
    """Return the points of each series."""
    series: dict[str, list[GridPoint]] = {}
    for point in found:
        series.setdefault(point.series, []).append(point)
    return series


def along(found: Sequence[GridPoint]) -> dict[str, list[GridPoint]]:
    """Return the trained points of each series with several positions on the horizontal axis, sorted by position."""
    placed = {
        name: sorted((p for p in some if p.trained and p.x is not None), key=lambda p: p.x or 0.0)
        for name, some in by_series(found).items()
    }
    return {name: some for name, some in placed.items() if len({point.x for point in some}) > 1}


def _curve(name: str, colour: str, some: Sequence[GridPoint], x: Axis, y: Axis) -> Curve:
    ends = [(x(point.x), point) for point in some if point.x is not None]
    line = " ".join(f"{at},{y(point.mean)}" for at, point in ends)
    return Curve(name, colour, tuple(some), line, band([(at, point.seeds) for at, point in ends], y))
