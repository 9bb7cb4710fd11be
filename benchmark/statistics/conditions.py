"""Numbers of units and seeds for which an interval may be printed, because it is valid in simulation."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path

COVERAGE = Path(__file__).with_name("coverage.csv")
"""Simulated coverage, written by `python -m petlir.benchmark.statistics.simulation`."""
LOWEST, HIGHEST, FALSE = 0.935, 0.965, 0.05
"""Bounds of the coverage, and the highest rate of columns with false separations."""
NOISE = 0.0022
"""Two standard errors of the simulated rate; a rate of at most 5 % for normal scores is proven."""


def printable(units: int, seeds: int) -> bool:
    """Return whether an interval from this many source scenes and seeds may be printed.

    The nearest simulated conditions below and above must all hold: coverage 95 ± 1.5 % and at most 5 % false
    separations, for normal and heavy-tailed scores, equal and unequal variances, and effects of all sizes. Beyond the
    largest simulated numbers, these apply; below the smallest, nothing is printed.
    """
    table = _table()
    all_units, all_seeds = (sorted({key[place] for key in table}) for place in (0, 1))
    corners = [(u, s) for u in _around(units, all_units) for s in _around(seeds, all_seeds)]
    return bool(corners) and all(table[corner] for corner in corners)


def _around(value: int, known: Sequence[int]) -> set[int]:
    """Return the nearest known values on both sides, or an empty set if all are larger."""
    below = [each for each in known if each <= value]
    return {below[-1], min((each for each in known if each >= value), default=below[-1])} if below else set()


@cache
def _table() -> dict[tuple[int, int], bool]:
    """Return a table: units and seeds → whether all scenarios hold."""
    found: dict[tuple[int, int], bool] = {}
    with COVERAGE.open(newline="") as file:
        for row in csv.DictReader(file):
            condition = int(row["units"]), int(row["seeds"])
            low, high = float(row["lowest_coverage"]), float(row["highest_coverage"])
            held = low >= LOWEST and high <= HIGHEST and float(row["false_separations"]) <= FALSE + NOISE
            found[condition] = found.get(condition, True) and held
    return found
