"""Ranks over tasks: the mean of a method's ranks in fixed columns, with intervals that hold jointly."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from statistics import fmean

from petlir.benchmark.statistics.column import Comparison, compare
from petlir.benchmark.statistics.crossed import Scores
from petlir.benchmark.statistics.gain import Interval


@dataclass(frozen=True)
class MeanRanks:
    """The mean ranks of the methods that occur in every column.

    Attributes:
        ranks: method → mean of its ranks in the columns, with a simultaneous interval; in each column, rank 1 has the
            highest mean score. The best method comes first.
        columns: number of columns in the mean.
        left_out: the methods that are missing from at least one column.
    """

    ranks: Mapping[str, Interval]
    columns: int
    left_out: tuple[str, ...]


def mean_ranks(
    columns: Mapping[str, Mapping[str, Scores]], alpha: float = 0.05, known: Mapping[str, Comparison] = {}
) -> MeanRanks | None:
    """Rank the methods that occur in all columns by their mean rank over these columns.

    Each column spends `alpha / len(columns)` on the ranges of its ranks (Bonferroni), so that all ranges of all columns
    hold jointly. The intervals of the mean ranks, from the mean of the lower ends of a method's ranges to the mean of
    the upper ends, therefore hold jointly too.

    Args:
        columns: column → method → units × seeds in dB.
        alpha: probability that any interval misses its true mean rank.
        known: column → comparison of all methods of the column; where possible, it is used instead of a new comparison.

    Returns:
        None with fewer than two columns, or fewer than two methods that occur in all of them.
    """
    every = [set(scores) for scores in columns.values()]
    shared = set.intersection(*every) if every else set()
    if len(columns) < 2 or len(shared) < 2:
        return None
    found = [_compared(scores, shared, alpha / len(columns), known.get(column)) for column, scores in columns.items()]
    places = [
        {name: (rank, *ends) for rank, (name, ends) in enumerate(column.ranks().items(), start=1)} for column in found
    ]
    ranks = {
        name: Interval(*map(fmean, zip(*(place[name] for place in places), strict=True))) for name in sorted(shared)
    }
    ordered = dict(sorted(ranks.items(), key=lambda pair: pair[1].value))
    return MeanRanks(ordered, len(columns), tuple(sorted(set.union(*every) - shared)))


def _compared(scores: Mapping[str, Scores], shared: Set[str], alpha: float, known: Comparison | None) -> Comparison:
    if known is not None and not known.planned and shared == set(known.order):
        return known.at(alpha)
    return compare({name: table for name, table in scores.items() if name in shared}, alpha)
