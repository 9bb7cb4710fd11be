"""Stability across degradations: the gap in score to the best method of each task.

The regret of a method in a column is the gap between its mean and the best mean, in dB, never below zero. The interval
of a regret is computed as in multiple comparisons with the best (Hsu, Annals of Statistics 9, 1981). The upper end of
the interval depends only on the difference from the truly best method. The lower end depends on the differences from
all other methods and uses Bonferroni's correction of the level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from petlir.benchmark.statistics.crossed import Floats, Scores, Squares, half_widths, mean_squares
from petlir.benchmark.statistics.gain import Interval

MOST_GAPS = 1 << 20
"""The maximum number of differences between scores that are held in memory at a time."""


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
        scores: method → units × seeds in dB, for converged PETL methods with similar numbers of trainable parameters; a
            pair is compared on the seeds that both methods have.
        name: the method.
        level: confidence level of the interval.
        columns: number of columns for which the lower end must hold jointly.
    """
    ((found,),) = _regrets(_Table.from_scores(scores), [name], level, (columns,))
    return found


@dataclass(frozen=True)
class _Table:
    """The scores of a column, methods × units × seeds, and the index of each method on the first axis."""

    place: Mapping[str, int]
    scores: Floats

    @classmethod
    def from_scores(cls, scores: Mapping[str, Scores]) -> Self:
        return cls({name: place for place, name in enumerate(scores)}, np.stack(list(scores.values())))


def _regrets(table: _Table, names: Sequence[str], level: float, columns: Sequence[int]) -> Iterator[list[Interval]]:
    """Yield the `regret` of each method for several numbers of columns, which change only the interval's lower end."""
    levels = (level, *(1 - (1 - level) / (max(1, len(table.place) - 1) * count) for count in columns))
    complete = bool(np.isfinite(table.scores).all())
    together = max(1, MOST_GAPS // table.scores.size) if complete else 1
    for start in range(0, len(names), together):
        gaps = np.stack([_gaps(table, name) for name in names[start : start + together]])
        parts = [gaps] if complete else [part[None] for part in _on_shared_seeds(gaps[0])]
        above = [mean_squares(part) for part in parts if part.shape[1] and part.shape[3] > 1]
        yield from _intervals(above, levels) if above else [[Interval(0.0, 0.0, 0.0) for _ in columns] for _ in gaps]


def _gaps(table: _Table, name: str) -> Floats:
    """Return the differences of a method's rivals from the method: rivals × units × seeds."""
    own = table.place[name]
    gaps: Floats = np.delete(table.scores, own, axis=0) - table.scores[own]
    return gaps


def _intervals(above: Sequence[Squares], levels: Sequence[float]) -> Iterator[list[Interval]]:
    """Yield the intervals of each method from the mean squares of its rivals' gaps, methods × rivals.

    The first level applies to all upper ends; each further level applies to the lower end of one interval.
    """
    mean = np.concatenate([one.mean for one in above], axis=1)
    upper, *lower = (
        np.concatenate(halves, axis=1) for halves in zip(*(half_widths(one, levels) for one in above), strict=True)
    )
    values, highs, *lows = (
        np.maximum(ends.max(axis=1), 0.0).tolist() for ends in (mean, mean + upper, *(mean - half for half in lower))
    )
    for value, high, *low in zip(values, highs, *lows, strict=True):
        yield [Interval(value, end, high) for end in low]


def _on_shared_seeds(gaps: Floats) -> Iterator[Floats]:
    """Yield the gaps, rivals × units × seeds, in groups of rivals with the same seeds, restricted to these seeds."""
    there = np.isfinite(gaps).all(axis=1)
    every = np.ones(gaps.shape[2], bool)
    if there.all() and len(every) > 1:
        yield gaps[:, :, every]
        return
    for kept in np.unique(there, axis=0):
        if kept.sum() > 1:
            yield gaps[(there == kept).all(axis=1)][:, :, kept]


def stability(columns: Mapping[str, Mapping[str, Scores]], name: str, level: float = 0.95) -> Stability | None:
    """Return `stabilities` for one method; None if the method is missing from a column."""
    return stabilities(columns, [name], level).get(name)


def stabilities(
    columns: Mapping[str, Mapping[str, Scores]], names: Iterable[str], level: float = 0.95
) -> dict[str, Stability]:
    """Return methods' regrets over fixed columns: the regret in each column, the largest regret and the mean.

    The interval of the mean regret is the mean of the intervals of all columns. This interval is wide enough for any
    dependence between tasks, since the standard deviation of a sum is at most the sum of the standard deviations.

    Args:
        columns: column → method → units × seeds in dB, for converged PETL methods with similar numbers of trainable
            parameters.
        names: the methods; methods that are missing from a column are left out.
        level: confidence level of the intervals.
    """
    present = [name for name in names if columns and all(name in scores for scores in columns.values())]
    if not present:
        return {}
    found: dict[str, dict[str, list[Interval]]] = {name: {} for name in present}
    for column, scores in columns.items():
        regrets = _regrets(_Table.from_scores(scores), present, level, (1, len(columns)))
        for name, both in zip(present, regrets, strict=True):
            found[name][column] = both
    return {name: _stability(both) for name, both in found.items()}


def _stability(both: Mapping[str, Sequence[Interval]]) -> Stability:
    """Combine a method's regrets: per column, one interval for this column alone and one for all columns jointly."""
    each = {column: own for column, (own, _) in both.items()}
    floor = max(joint.low for _, joint in both.values())
    worst = Interval(max(one.value for one in each.values()), floor, max(one.high for one in each.values()))
    mean = (sum(getattr(one, part) for one in each.values()) / len(each) for part in ("value", "low", "high"))
    return Stability(each, worst, Interval(*mean))
