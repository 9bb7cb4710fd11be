"""Numbers of units and seeds for which an interval is valid in simulation and may be printed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

COVERAGE = Path(__file__).with_name("coverage.csv")
"""The table of simulated coverage, written by `python -m petlir.benchmark.statistics.simulation`."""
LOWEST, HIGHEST, FALSE = 0.935, 0.965, 0.05
"""The lowest and the highest valid coverage, and the highest valid rate of columns with a false separation."""
SKEWED = "skewed"
"""The scenario of strongly skewed effects, whose coverage is reported but need not be valid."""
FEWEST_UNITS = 5
"""The minimum number of source scenes for an interval or a rank, regardless of the number of seeds."""


def printable(units: int, seeds: int) -> bool:
    """Return whether an interval from this many source scenes and seeds may be printed.

    All nearest simulated conditions, below and above, must be valid: coverage of 95 ± 1.5 % and at most 5 % false
    separations, for normal and heavy-tailed scores, equal and unequal variances, and effects of all sizes. Above the
    largest simulated number of units or seeds, the result for the largest number applies; below the smallest number, no
    interval is printed.
    """
    corners = _corners(units, seeds)
    return bool(corners) and all(_table()[corner].holds for corner in corners)


def skewed_coverage(units: int, seeds: int) -> float | None:
    """Return the lowest coverage of a 95 % interval for strongly skewed effects; None without a printable interval."""
    lowest = [_table()[corner].skewed for corner in _corners(units, seeds)]
    return min(lowest) if lowest and printable(units, seeds) else None


@dataclass(frozen=True)
class Condition:
    """The simulated validity of intervals and tests for given numbers of units and seeds.

    Attributes:
        holds: True if coverage is valid in all scenarios except the skewed one, and if the rate of false separations
            is valid in all scenarios.
        skewed: the lowest coverage for skewed effects.
    """

    holds: bool = True
    skewed: float = 1.0


def _corners(units: int, seeds: int) -> list[tuple[int, int]]:
    all_units, all_seeds = (sorted({key[place] for key in _table()}) for place in (0, 1))
    return [(u, s) for u in _around(units, all_units) for s in _around(seeds, all_seeds)]


def _around(value: int, known: Sequence[int]) -> set[int]:
    """Return the nearest of the `known` values below and above `value`, or an empty set if all of them are larger."""
    below = [each for each in known if each <= value]
    return {below[-1], min((each for each in known if each >= value), default=below[-1])} if below else set()


def rows() -> list[dict[str, str]]:
    """Return the rows of `coverage.csv`."""
    with COVERAGE.open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def _table() -> dict[tuple[int, int], Condition]:
    """Return a dict from (units, seeds) to the condition of these numbers."""
    found: dict[tuple[int, int], Condition] = {}
    for row in rows():
        key = int(row["units"]), int(row["seeds"])
        before = found.get(key, Condition())
        low, high = float(row["lowest_coverage"]), float(row["highest_coverage"])
        rare = float(row["false_separations"]) <= FALSE
        if row["scenario"] == SKEWED:
            found[key] = Condition(before.holds and rare, min(before.skewed, low))
        else:
            found[key] = replace(before, holds=before.holds and rare and low >= LOWEST and high <= HIGHEST)
    return found
