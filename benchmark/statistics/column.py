"""Which methods of one column may be told apart: all of its pairs are one family.

Pairs are tested together by Holm's step-down method (Holm, Scandinavian Journal of Statistics 6, 1979), which holds
the chance of any false separation. From it follow the group tied with the best and the ranks that a method may have
(simultaneous rank intervals: Al Mohamad, Goeman and van Zwet, Statistical Methods in Medical Research 31, 2022).
With several looks each spends its share of alpha, and pairs that were told apart leave the family (Maurer and Bretz,
Statistics in Biopharmaceutical Research 5, 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.statistics.crossed import Difference, Floats, Scores, differences
from petlir.benchmark.statistics.spending import InterimAnalysis

FEWEST_SEEDS = 3
"""With fewer seeds no separation is stated."""
FIRM_SEEDS = 5
"""With fewer seeds a separation is provisional, and stated only beyond `PROVISIONAL_GAP`."""
PROVISIONAL_GAP = 0.1
"""In dB."""
AT_ONCE = 4_000_000
"""Differences of scores that are worked out at once."""
Flags = NDArray[np.bool_]
Indices = NDArray[np.int_]


def holm(p: Sequence[float] | Floats, family: int | None = None) -> Floats:
    """Holm's adjusted p values, in the order given; `family` counts hypotheses that have no p value too."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    factors = (len(p) if family is None else family) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * p[order]))
    return adjusted


def separable(gap: Floats | float, adjusted_p: Floats | float, seeds: Indices | int, alpha: float = 0.05) -> Flags:
    """Whether pairs may be told apart with this many seeds; below five, only beyond 0.1 dB."""
    firm, few = np.asarray(seeds) >= FIRM_SEEDS, np.asarray(seeds) >= FEWEST_SEEDS
    enough = firm | (few & (np.abs(gap) > PROVISIONAL_GAP))
    return np.asarray(enough & (np.asarray(adjusted_p) <= alpha))


@dataclass(frozen=True)
class Pair:
    """Two methods of a column, the better one first.

    Attributes:
        better: the method of the higher mean.
        worse: the other.
        difference: `better - worse` in dB; its interval is not adjusted for the other pairs, but holds at all looks.
        adjusted_p: Holm's p value among all pairs of the column; of its last look, over that look's share of alpha.
        apart: whether they may be told apart.
        seeds: how many seeds both have.
    """

    better: str
    worse: str
    difference: Difference
    adjusted_p: float
    apart: bool
    seeds: int


@dataclass(frozen=True)
class Found:
    """All pairs of a column as arrays, in the order of `itertools.combinations`; see `Pair`.

    Attributes:
        difference: 4 × pairs: mean, lower end, upper end, p value.
    """

    difference: Floats
    adjusted_p: Floats
    apart: Flags
    seeds: Indices


@dataclass(frozen=True, eq=False)
class Comparison:
    """What may be said of one column's methods.

    Attributes:
        order: the methods, the highest mean first.
        found: what was found of their pairs.
        units: how many source scenes.
        seeds: the fewest seeds of a method.
        analyses: how many interim analyses were made.
    """

    order: tuple[str, ...]
    found: Found = field(repr=False)
    units: int
    seeds: int
    analyses: int = 1

    @property
    def provisional(self) -> bool:
        """Whether the separations stand on fewer than five seeds."""
        return self.seeds < FIRM_SEEDS

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs; of m methods m (m - 1) / 2."""
        return tuple(self._pair(*both, at) for at, both in enumerate(combinations(self.order, 2)))

    def pair(self, one: str, other: str) -> Pair:
        """The pair of these two methods, in whichever order."""
        first, second = sorted((self.order.index(one), self.order.index(other)))
        at = first * len(self.order) - first * (first + 1) // 2 + second - first - 1
        return self._pair(self.order[first], self.order[second], at)

    def _pair(self, better: str, worse: str, at: int) -> Pair:
        difference = Difference(*map(float, self.found.difference[:, at]))
        adjusted, apart = float(self.found.adjusted_p[at]), bool(self.found.apart[at])
        return Pair(better, worse, difference, adjusted, apart, int(self.found.seeds[at]))

    @property
    def apart(self) -> Flags:
        """Methods × methods in their order: whether they may be told apart."""
        size = len(self.order)
        table = np.zeros((size, size), bool)
        table[np.triu_indices(size, 1)] = self.found.apart
        return table | table.T

    def tied(self) -> tuple[str, ...]:
        """The method of the highest mean, then those that cannot be told apart from it."""
        return tuple(name for name, apart in zip(self.order, self.apart[0], strict=True) if not apart)

    def ranks(self) -> dict[str, tuple[int, int]]:
        """The best and the worst rank that each method may have, 1 the best; all hold together at 95 %."""
        above, below = np.tril(self.apart).sum(axis=1), np.triu(self.apart).sum(axis=1)
        ends = zip(1 + above, len(self.order) - below, strict=True)
        return {name: (int(best), int(worst)) for name, (best, worst) in zip(self.order, ends, strict=True)}


def compare(scores: Mapping[str, Scores], alpha: float = 0.05, analyses: Sequence[InterimAnalysis] = ()) -> Comparison:
    """Compare all methods of one column with each other.

    Args:
        scores: method → units × seeds in dB, on the same units and the same list of seeds; a column of NaN is a
            seed that this method was not run with. A pair is compared on the seeds that both have; with fewer than
            two its difference is NaN.
        alpha: the chance of any false separation.
        analyses: where seeds were added until methods separate, all interim analyses that were planned; the first
            `seeds` of the list of seeds belong to one. Without, there is one.
    """
    order = sorted(scores, key=lambda name: -float(np.nanmean(scores[name])))
    table = np.stack([scores[name] for name in order])
    there = np.asarray(np.isfinite(table).any(axis=1))
    better, worse = np.triu_indices(len(order), 1)
    counts = (there[better] & there[worse]).sum(axis=1)
    most = int(counts.max(initial=0))
    planned = analyses or [InterimAnalysis(most, 1.0)]
    taken = [analysis for analysis in planned if analysis.seeds <= most] or planned[:1]
    pairs = len(counts)
    found = Found(np.full((4, pairs), np.nan), np.ones(pairs), np.zeros(pairs, bool), np.zeros(pairs, int))
    for number, analysis in enumerate(taken):
        ready = ~found.apart & (counts > 1) & ((counts >= analysis.seeds) | (number == 0))
        _look(found, ready, _Pairs(table, there, better, worse), analysis, alpha)
    return Comparison(tuple(order), found, table.shape[1], int(there.sum(axis=1).min()), len(taken))


@dataclass(frozen=True)
class _Pairs:
    """Methods × units × seeds, methods × seeds: which there are, and the two methods of each pair."""

    table: Floats
    there: Flags
    better: Indices
    worse: Indices

    def alike(self, chosen: Indices) -> Iterator[tuple[Indices, Indices]]:
        """The chosen pairs in parts that share the same seeds, not too many at once, and these seeds."""
        _, kinds = np.unique(self.there, axis=0, return_inverse=True)
        codes = kinds.ravel()[self.better[chosen]] * len(kinds) + kinds.ravel()[self.worse[chosen]]
        most = AT_ONCE // self.table[0].size + 1
        for code in np.unique(codes):
            members = chosen[codes == code]
            shared = self.there[self.better[members[0]]] & self.there[self.worse[members[0]]]
            for start in range(0, len(members), most):
                yield members[start : start + most], np.flatnonzero(shared)


def _look(found: Found, ready: Flags, pairs: _Pairs, analysis: InterimAnalysis, alpha: float) -> None:
    """Note what one look finds of the pairs that are ready; the family is all that are not told apart yet."""
    family = int((~found.apart).sum())
    for members, shared in pairs.alike(np.flatnonzero(ready)):
        seeds = shared[: analysis.seeds]
        gaps = pairs.table[pairs.better[members]][:, :, seeds] - pairs.table[pairs.worse[members]][:, :, seeds]
        found.seeds[members] = len(seeds)
        found.difference[:, members] = differences(gaps, 1 - alpha * analysis.share)
    p = np.minimum(1.0, found.difference[3, ready] / analysis.share)
    found.adjusted_p[ready] = holm(p, family)
    found.apart[ready] = separable(found.difference[0, ready], found.adjusted_p[ready], found.seeds[ready], alpha)
