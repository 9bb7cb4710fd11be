"""Separation of the methods in a column of the results table; all pairs of methods form a single family of tests.

Pairs are tested together by Holm's step-down method (Holm, Scandinavian Journal of Statistics 6, 1979), which bounds
the probability of any false separation. The separated pairs determine which methods are tied with the best one, and the
possible ranks of each method (simultaneous rank intervals: Al Mohamad, Goeman and van Zwet, Statistical Methods in
Medical Research 31, 2022). With several interim analyses, each analysis spends a fraction of alpha, and separated pairs
leave the family (Maurer and Bretz, Statistics in Biopharmaceutical Research 5, 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.statistics.crossed import SKEWNESS, Difference, Floats, Scores, differences
from petlir.benchmark.statistics.spending import InterimAnalysis

FEWEST_SEEDS = 3
"""The minimum number of seeds for a separation."""
FIRM_SEEDS = 5
"""The minimum number of seeds for a final separation.

With three or four seeds, a separation is provisional, and its gap must exceed `PROVISIONAL_GAP`.
"""
PROVISIONAL_GAP = 0.1
"""The gap that a provisional separation must exceed, in dB."""
FIRM_GAP = 0.02
"""The smallest gap of any separation, in dB: methods with a smaller, invisible gap always count as tied."""
AT_ONCE = 4_000_000
"""The number of score differences computed at once."""
Flags = NDArray[np.bool_]
Indices = NDArray[np.int_]


def holm(p: Sequence[float] | Floats, family: int | None = None) -> Floats:
    """Return the p values after Holm's adjustment, in the order of `p`.

    `family` is the number of hypotheses, including those without a p value; None means that every hypothesis has a p
    value.
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    factors = (len(p) if family is None else family) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * p[order]))
    return adjusted


def separable(gap: Floats | float, adjusted_p: Floats | float, seeds: Indices | int, alpha: float = 0.05) -> Flags:
    """Return whether the two methods of each pair are separated.

    For a separation, the adjusted p value must be at most `alpha`. With three or four seeds, the gap must also exceed
    0.1 dB; with five or more, it must be at least 0.02 dB.
    """
    firm, few = np.asarray(seeds) >= FIRM_SEEDS, np.asarray(seeds) >= FEWEST_SEEDS
    enough = (firm & (np.abs(gap) >= FIRM_GAP)) | (few & (np.abs(gap) > PROVISIONAL_GAP))
    return np.asarray(enough & (np.asarray(adjusted_p) <= alpha))


@dataclass(frozen=True)
class MethodPair:
    """Two methods of a column, the better first.

    Attributes:
        better: the method with the higher mean.
        worse: the other method.
        difference: `better - worse` in dB; its interval is not adjusted for the other pairs, but is valid at every
            interim analysis.
        adjusted_p: Holm's adjusted p value among all pairs of the column, at the last interim analysis of this pair.
            Before the adjustment, p values are multiplied by `SKEWNESS` and divided by the fraction of alpha that the
            analysis spends.
        apart: whether the methods are separated.
        seeds: number of seeds that both methods have.
    """

    better: str
    worse: str
    difference: Difference
    adjusted_p: float
    apart: bool
    seeds: int


@dataclass(frozen=True)
class PairArrays:
    """All pairs of methods in a column, as arrays in the order of `itertools.combinations`; see `MethodPair`.

    Attributes:
        difference: 4 × pairs: the means, the lower ends and the upper ends of their intervals, and the p values.
    """

    difference: Floats
    adjusted_p: Floats
    apart: Flags
    seeds: Indices


@dataclass(frozen=True, eq=False)
class Comparison:
    """The comparison of a column's methods.

    Attributes:
        order: the methods, the highest mean first.
        found: the results for all pairs of methods.
        units: number of source scenes.
        seeds: number of seeds of the method with the fewest seeds.
        analyses: number of interim analyses so far.
        planned: number of planned interim analyses; 0 if none are planned.
    """

    order: tuple[str, ...]
    found: PairArrays = field(repr=False)
    units: int
    seeds: int
    analyses: int = 1
    planned: int = 0

    @property
    def provisional(self) -> bool:
        """True if the separations are based on fewer than five seeds."""
        return self.seeds < FIRM_SEEDS

    @property
    def pairs(self) -> tuple[MethodPair, ...]:
        """All m (m − 1) / 2 pairs of the m methods."""
        return tuple(self._pair(*both, at) for at, both in enumerate(combinations(self.order, 2)))

    def pair(self, one: str, other: str) -> MethodPair:
        """Return the pair of two methods, which may be given in either order."""
        first, second = sorted((self.order.index(one), self.order.index(other)))
        at = first * len(self.order) - first * (first + 1) // 2 + second - first - 1
        return self._pair(self.order[first], self.order[second], at)

    def _pair(self, better: str, worse: str, at: int) -> MethodPair:
        difference = Difference(*map(float, self.found.difference[:, at]))
        adjusted, apart = float(self.found.adjusted_p[at]), bool(self.found.apart[at])
        return MethodPair(better, worse, difference, adjusted, apart, int(self.found.seeds[at]))

    @property
    def apart(self) -> Flags:
        """A methods × methods array, in the order of `order`: True where two methods are separated."""
        size = len(self.order)
        table = np.zeros((size, size), bool)
        table[np.triu_indices(size, 1)] = self.found.apart
        return table | table.T

    def tied(self) -> tuple[str, ...]:
        """Return the method with the highest mean and the methods that are not separated from it."""
        return tuple(name for name, apart in zip(self.order, self.apart[0], strict=True) if not apart)

    def at(self, alpha: float) -> Self:
        """Return this comparison with pairs separated at another alpha; there must be no planned interim analyses."""
        found = self.found
        apart = separable(found.difference[0], found.adjusted_p, found.seeds, alpha)
        return replace(self, found=replace(found, apart=apart))

    def ranks(self) -> dict[str, tuple[int, int]]:
        """Return each method's best and worst possible rank (1 is best); all ranges hold jointly at level 1 − alpha."""
        above, below = np.tril(self.apart).sum(axis=1), np.triu(self.apart).sum(axis=1)
        ends = zip(1 + above, len(self.order) - below, strict=True)
        return {name: (int(best), int(worst)) for name, (best, worst) in zip(self.order, ends, strict=True)}


def compare(scores: Mapping[str, Scores], alpha: float = 0.05, analyses: Sequence[InterimAnalysis] = ()) -> Comparison:
    """Compare all methods of a column with each other.

    Args:
        scores: method → units × seeds in dB, on the same units and the same list of seeds; a seed without a run of this
            method has a column of NaN. A pair is compared on the seeds that both methods have; with fewer than two such
            seeds, its difference is NaN.
        alpha: probability of any false separation.
        analyses: all planned interim analyses, if seeds were added until methods separated; each analysis compares a
            pair on the first `seeds` seeds that both methods have. By default, there is a single analysis with all
            seeds.
    """
    given = np.stack(list(scores.values()))
    ordered = np.argsort(-np.nanmean(given.reshape(len(given), -1), axis=1), kind="stable")
    order, table = [list(scores)[place] for place in ordered], given[ordered]
    there = np.asarray(np.isfinite(table).any(axis=1))
    better, worse = np.triu_indices(len(order), 1)
    counts = (there[better] & there[worse]).sum(axis=1)
    most = int(counts.max(initial=0))
    planned = analyses or [InterimAnalysis(most, 1.0)]
    taken = [analysis for analysis in planned if analysis.seeds <= most] or planned[:1]
    pairs = len(counts)
    found = PairArrays(np.full((4, pairs), np.nan), np.ones(pairs), np.zeros(pairs, bool), np.zeros(pairs, int))
    for number, analysis in enumerate(taken):
        ready = ~found.apart & (counts > 1) & ((counts >= analysis.seeds) | (number == 0))
        _look(found, ready, _Pairs(table, there, better, worse), analysis, alpha)
    least = int(there.sum(axis=1).min())
    return Comparison(tuple(order), found, table.shape[1], least, len(taken), len(analyses))


@dataclass(frozen=True)
class _Pairs:
    """Scores (methods × units × seeds), available seeds (methods × seeds), and the two methods of each pair."""

    table: Floats
    there: Flags
    better: Indices
    worse: Indices

    def alike(self, chosen: Indices) -> Iterator[tuple[Indices, Indices]]:
        """Yield the chosen pairs in batches of limited size, each with the seeds that all its pairs share."""
        _, kinds = np.unique(self.there, axis=0, return_inverse=True)
        codes = kinds.ravel()[self.better[chosen]] * len(kinds) + kinds.ravel()[self.worse[chosen]]
        most = AT_ONCE // self.table[0].size + 1
        for code in np.unique(codes):
            members = chosen[codes == code]
            shared = self.there[self.better[members[0]]] & self.there[self.worse[members[0]]]
            for start in range(0, len(members), most):
                yield members[start : start + most], np.flatnonzero(shared)


def _look(found: PairArrays, ready: Flags, pairs: _Pairs, analysis: InterimAnalysis, alpha: float) -> None:
    """Add the results of an analysis for the `ready` pairs; the family of tests is all pairs not separated before."""
    family = int((~found.apart).sum())
    for members, shared in pairs.alike(np.flatnonzero(ready)):
        seeds = shared[: analysis.seeds]
        gaps = pairs.table[pairs.better[members]][:, :, seeds] - pairs.table[pairs.worse[members]][:, :, seeds]
        found.seeds[members] = len(seeds)
        found.difference[:, members] = differences(gaps, 1 - alpha * analysis.share)
    p = np.minimum(1.0, SKEWNESS * found.difference[3, ready] / analysis.share)
    found.adjusted_p[ready] = holm(p, family)
    found.apart[ready] = separable(found.difference[0, ready], found.adjusted_p[ready], found.seeds[ready], alpha)
