"""Stability over degradations: what is lost against the best method of each task.

The regret of a method in a column is how far its mean lies below the best one's, in dB, never below zero. Its
interval is that of multiple comparisons with the best (Hsu, Annals of Statistics 9, 1981): at its upper end only the
difference to the true best counts, at its lower end those to all rivals, whence Bonferroni's level there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from petlir.benchmark.statistics.crossed import Scores, half_width, mean_squares
from petlir.benchmark.statistics.gain import Interval


@dataclass(frozen=True)
class Stability:
    """The regret of one method over fixed tasks, in dB.

    Attributes:
        by_column: each column's regret with its own interval.
        worst: the largest of them.
        mean: their mean.
    """

    by_column: dict[str, Interval]
    worst: Interval
    mean: Interval


def regret(scores: Mapping[str, Scores], name: str, level: float = 0.95, columns: int = 1) -> Interval:
    """How far the mean of a method lies below the best of a column, in dB.

    Args:
        scores: converged PETL methods of equal size → units × seeds.
        name: one of them.
        level: of the interval.
        columns: over how many columns the lower end is to hold at once.
    """
    rivals = [scores[other] for other in scores if other != name]
    if not rivals:
        return Interval(0.0, 0.0, 0.0)
    above = mean_squares(np.stack(rivals) - scores[name])
    low = above.mean - half_width(above, 1 - (1 - level) / (len(rivals) * columns))
    high = above.mean + half_width(above, level)
    return Interval(*(max(0.0, float(ends.max())) for ends in (above.mean, low, high)))


def stability(columns: Mapping[str, Mapping[str, Scores]], name: str, level: float = 0.95) -> Stability | None:
    """A method's regret over fixed columns: each, the largest, and the mean.

    The interval of the mean is the mean of the intervals: wide enough whatever the tasks share, since the standard
    deviation of a sum is at most the sum of the standard deviations.

    Args:
        columns: column → converged PETL methods of equal size → units × seeds.
        name: the method.
        level: of the intervals.

    Returns:
        None where the method lacks a column, or there is none.
    """
    if not columns or any(name not in scores for scores in columns.values()):
        return None
    each = {column: regret(scores, name, level) for column, scores in columns.items()}
    floor = max(regret(scores, name, level, len(columns)).low for scores in columns.values())
    worst = Interval(max(one.value for one in each.values()), floor, max(one.high for one in each.values()))
    mean = (sum(getattr(one, part) for one in each.values()) / len(each) for part in ("value", "low", "high"))
    return Stability(each, worst, Interval(*mean))
