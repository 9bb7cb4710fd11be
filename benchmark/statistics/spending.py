"""Alpha spending: the fraction of alpha that each interim analysis spends; the analyses are stated beforehand.

If seeds are added until a difference is significant, methods without a true difference are separated in 14 to 18 % of
the cases. Here alpha is spent over interim analyses stated beforehand, by the O'Brien–Fleming type function of Lan and
DeMets (Biometrika 70, 1983): little at the first analysis and most at the last. The level of each analysis is its
increment of the spent alpha. By the union bound, the error rate of all analyses together is at most alpha, whatever the
dependence between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class InterimAnalysis:
    """An interim analysis: its number of seeds, and the fraction of alpha that it spends."""

    seeds: int
    share: float


def spend(seeds: Sequence[int], alpha: float = 0.05) -> tuple[InterimAnalysis, ...]:
    """Return the interim analyses at the given increasing numbers of seeds, the last of which is the maximum.

    At a fraction t of the maximum, the alpha spent so far is 2 − 2 Φ(z / √t), where z is the upper alpha / 2 quantile
    of the normal distribution.
    """
    from scipy import special

    z = -special.ndtri(alpha / 2)
    spent = [2 * special.ndtr(-z / (count / seeds[-1]) ** 0.5) / alpha for count in seeds]
    return tuple(
        InterimAnalysis(count, float(now - before))
        for count, now, before in zip(seeds, spent, [0.0, *spent], strict=False)
    )


class PlannedAnalysis(Protocol):
    """The fields of a cell that decide which planned interim analyses apply to the cell."""

    @property
    def backbone(self) -> str:
        """Name of the backbone."""

    @property
    def task(self) -> str:
        """Name of the task."""

    @property
    def track(self) -> str:
        """Name of the track."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""


@dataclass(frozen=True)
class SpendingPlan:
    """The interim analyses planned for the cells of one backbone, task, track and number of steps.

    Attributes:
        seeds: the number of seeds at each analysis.
        alpha: the probability of any false separation in a column, over all analyses.
    """

    backbone: str
    task: str
    track: str
    steps: int
    seeds: tuple[int, ...]
    alpha: float

    @property
    def analyses(self) -> tuple[InterimAnalysis, ...]:
        """The interim analyses, with the fraction of alpha that each spends."""
        return spend(self.seeds, self.alpha)

    def covers(self, cell: PlannedAnalysis) -> bool:
        """Return whether the plan applies to a cell."""
        own = (self.backbone, self.task, self.track, self.steps)
        return own == (cell.backbone, cell.task, cell.track, cell.steps)


def planned(first: int, most: int) -> tuple[int, ...]:
    """Return the numbers of seeds at the interim analyses: from `first`, growing by half (rounded up), to `most`."""
    found = [first]
    while found[-1] < most:
        found.append(min(most, found[-1] + (found[-1] + 1) // 2))
    return tuple(found)
