"""Stability across degradations: the loss relative to the best method of each task.

The regret of a method in a column is the gap between its mean and the best mean, in dB, never below zero. Its interval
is that of multiple comparisons with the best (Hsu, Annals of Statistics 9, 1981). The upper end depends only on the
difference from the true best. The lower end depends on the differences from all rivals and uses Bonferroni's level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from petlir.benchmark.statistics.crossed import Floats, Scores, half_width, mean_squares
from petlir.benchmark.statistics.gain import Interval


@dataclass(frozen=True)
class Stability:
    """The regret of a method over fixed tasks, in dB.

    Attributes:
        by_column: each column's regret with its own interval.
        worst: the largest regret.
        mean: the mean regret.
    """

    by_column: dict[str, Interval]
    worst: Interval
    mean: Interval


def regret(scores: Mapping[str, Scores], name: str, level: float = 0.95, columns: int = 1) -> Interval:
    """Return the gap between a method's mean and the best mean of a column, in dB.

    Args:
        scores: converged PETL methods of equal size → units × seeds; a pair is compared on the seeds that both methods
            have.
        name: the method.
        level: level of the interval.
        columns: number of columns for which the lower end must hold jointly.
    """
    rivals = [scores[other] for other in scores if other != name]
    ends = []
    for gaps in _on_shared_seeds(np.stack(rivals) - scores[name]) if rivals else ():
        above = mean_squares(gaps)
        low = above.mean - half_width(above, 1 - (1 - level) / (len(rivals) * columns))
        ends.append((above.mean, low, above.mean + half_width(above, level)))
    if not ends:
        return Interval(0.0, 0.0, 0.0)
    return Interval(*(max(0.0, float(np.concatenate(each).max())) for each in zip(*ends, strict=True)))


def _on_shared_seeds(gaps: Floats) -> Iterator[Floats]:
    """Yield the gaps, rivals × units × seeds, in groups with the same finite seeds, restricted to these seeds."""
    there = np.isfinite(gaps).all(axis=1)
    for kept in np.unique(there, axis=0):
        if kept.sum() > 1:
            yield gaps[(there == kept).all(axis=1)][:, :, kept]


def stability(columns: Mapping[str, Mapping[str, Scores]], name: str, level: float = 0.95) -> Stability | None:
    """Return a method's regret over fixed columns: in each column, the largest, and the mean.

    The interval of the mean is the mean of the intervals. It is wide enough for any dependence between tasks, since the
    standard deviation of a sum is at most the sum of the standard deviations.

    Args:
        columns: column → converged PETL methods of equal size → units × seeds.
        name: the method.
        level: level of the intervals.

    Returns:
        None if the method lacks a column, or there are no columns.
    """
    if not columns or any(name not in scores for scores in columns.values()):
        return None
    each = {column: regret(scores, name, level) for column, scores in columns.items()}
    floor = max(regret(scores, name, level, len(columns)).low for scores in columns.values())
    worst = Interval(max(one.value for one in each.values()), floor, max(one.high for one in each.values()))
    mean = (sum(getattr(one, part) for one in each.values()) / len(each) for part in ("value", "low", "high"))
    return Stability(each, worst, Interval(*mean))
