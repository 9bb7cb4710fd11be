"""Stability across degradations: the loss relative to the best method of each task.

The regret of a method in a column is the gap between its mean and the best mean, in dB, never below zero. Its interval
is computed as in multiple comparisons with the best (Hsu, Annals of Statistics 9, 1981). The upper end depends only on
the difference from the true best. The lower end depends on the differences from all rivals and uses Bonferroni's level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from petlir.benchmark.statistics.crossed import Floats, Scores, half_widths, mean_squares
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
    return _regrets(_Table.from_scores(scores), name, level, (columns,))[0]


@dataclass(frozen=True)
class _Table:
    """The scores of a column, methods × units × seeds, and the place of each method."""

    place: Mapping[str, int]
    scores: Floats

    @classmethod
    def from_scores(cls, scores: Mapping[str, Scores]) -> Self:
        return cls({name: place for place, name in enumerate(scores)}, np.stack(list(scores.values())))


def _regrets(table: _Table, name: str, level: float, columns: Sequence[int]) -> list[Interval]:
    """Return `regret` for several values of `columns`, on which only the lower ends of the intervals depend."""
    own = table.place[name]
    rivals = np.delete(table.scores, own, axis=0)
    gaps = rivals - table.scores[own]
    above = [mean_squares(alike) for alike in _on_shared_seeds(gaps)] if len(gaps) else []
    if not above:
        return [Interval(0.0, 0.0, 0.0) for _ in columns]
    value = _largest(one.mean for one in above)
    joint = [1 - (1 - level) / (len(rivals) * count) for count in columns]
    bounds = [(one.mean, *half_widths(one, (level, *joint))) for one in above]
    high = _largest(mean + half for mean, half, *_ in bounds)
    return [
        Interval(value, _largest(mean - lower[place] for mean, _, *lower in bounds), high)
        for place in range(len(joint))
    ]


def _largest(parts: Iterable[Floats]) -> float:
    return max(0.0, float(np.concatenate(list(parts)).max()))


def _on_shared_seeds(gaps: Floats) -> Iterator[Floats]:
    """Yield the gaps, rivals × units × seeds, in groups with the same finite seeds, restricted to these seeds."""
    there = np.isfinite(gaps).all(axis=1)
    every = np.ones(gaps.shape[2], bool)
    if there.all() and len(every) > 1:
        yield gaps[:, :, every]
        return
    for kept in np.unique(there, axis=0):
        if kept.sum() > 1:
            yield gaps[(there == kept).all(axis=1)][:, :, kept]


def stability(columns: Mapping[str, Mapping[str, Scores]], name: str, level: float = 0.95) -> Stability | None:
    """Return `stabilities` for one method; None if it is missing from a column."""
    return stabilities(columns, [name], level).get(name)


def stabilities(
    columns: Mapping[str, Mapping[str, Scores]], names: Iterable[str], level: float = 0.95
) -> dict[str, Stability]:
    """Return methods' regrets over fixed columns: the regret in each column, the largest, and the mean.

    The interval of the mean is the mean of the intervals. It is wide enough for any dependence between tasks, since the
    standard deviation of a sum is at most the sum of the standard deviations.

    Args:
        columns: column → converged PETL methods of equal size → units × seeds.
        names: the methods; those that lack a column are left out.
        level: confidence level of the intervals.
    """
    present = [name for name in names if columns and all(name in scores for scores in columns.values())]
    if not present:
        return {}
    tables = {column: _Table.from_scores(scores) for column, scores in columns.items()}
    return {name: _stability(tables, name, level) for name in present}


def _stability(tables: Mapping[str, _Table], name: str, level: float) -> Stability:
    both = {column: _regrets(table, name, level, (1, len(tables))) for column, table in tables.items()}
    each = {column: own for column, (own, _) in both.items()}
    floor = max(joint.low for _, joint in both.values())
    worst = Interval(max(one.value for one in each.values()), floor, max(one.high for one in each.values()))
    mean = (sum(getattr(one, part) for one in each.values()) / len(each) for part in ("value", "low", "high"))
    return Stability(each, worst, Interval(*mean))
