"""Plot axes: conversion of values to SVG units, and round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis, with the value `low` at the position `start` and `high` at `stop`, in SVG units."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the position of a value in SVG units."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return round(self.start + (at - low) / (high - low) * (self.stop - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        """The round values at which ticks are drawn; a linear axis has at least three ticks."""
        return self._decades() if self.log else self._even()

    def _even(self) -> list[float]:
        rough = (self.high - self.low) / 8
        unit: float = 10 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [min(max(round(n * step, 10), self.low), self.high) for n in range(first, last + 1)]

    def _decades(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        factors = (1,) if last - first > 4 else (1, 3) if last - first > 2 else (1, 2, 5)
        ticks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        return [tick for tick in ticks if self.low <= tick <= self.high]


def spanning(values: Iterable[float], start: float, stop: float, log: bool = False) -> Axis:
    """Return an axis that spans the values, with a small margin at both ends.

    Args:
        values: at least one finite value; for a logarithmic axis, all values must be positive.
        start: the position of the low end, in SVG units.
        stop: the position of the high end, in SVG units.
        log: whether the axis is logarithmic.
    """
    found = list(values)
    low, high = min(found), max(found)
    if log:
        return Axis(low / 1.4, high * 1.4, start, stop, True)
    room = (high - low or 1.0) * 0.08
    return Axis(low - room, high + room, start, stop)


def band(places: Sequence[tuple[float, Sequence[float]]], y: Axis) -> str:
    """Return a polygon from the lowest to the highest value at each position; empty if no position has two values.

    Args:
        places: positions along the horizontal axis in SVG units, in order, each with the values at this position.
        y: the vertical axis, which shows the values.
    """
    if all(len(values) < 2 for _, values in places):
        return ""
    upper = [f"{at},{y(max(values))}" for at, values in places]
    lower = [f"{at},{y(min(values))}" for at, values in reversed(places)]
    return " ".join([*upper, *lower])
