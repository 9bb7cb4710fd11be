"""For which numbers of units and seeds an interval may be printed: where simulation shows that it holds its promise."""

from __future__ import annotations

from benchmark.statistics.column import FEWEST_SEEDS

FEWEST_UNITS = 5


def printable(units: int, seeds: int) -> bool:
    """Whether an interval from this many source scenes and seeds may be printed."""
    return units >= FEWEST_UNITS and seeds >= FEWEST_SEEDS
