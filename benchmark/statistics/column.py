"""Which methods of one column may be told apart: all of its pairs are one family.

Pairs are tested together by Holm's step-down method (Holm, Scandinavian Journal of Statistics 6, 1979), which holds
the chance of any false separation. From it follow the group tied with the best and the ranks that a method may have
(simultaneous rank intervals: Al Mohamad, Goeman and van Zwet, Statistical Methods in Medical Research 31, 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmark.statistics.crossed import Difference, Scores, difference

FEWEST_SEEDS = 3
"""With fewer seeds no separation is stated."""
FIRM_SEEDS = 5
"""With fewer seeds a separation is provisional, and stated only beyond `PROVISIONAL_GAP`."""
PROVISIONAL_GAP = 0.1
"""In dB."""


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def separable(pair: Difference, adjusted_p: float, seeds: int, alpha: float = 0.05) -> bool:
    """Whether a pair may be told apart with this many seeds; below five, only beyond 0.1 dB."""
    enough = seeds >= FIRM_SEEDS or (seeds >= FEWEST_SEEDS and abs(pair.mean) > PROVISIONAL_GAP)
    return enough and adjusted_p <= alpha


@dataclass(frozen=True)
class Pair:
    """Two methods of a column, the better one first.

    Attributes:
        better: the method of the higher mean.
        worse: the other.
        difference: `better - worse` in dB, with its own interval (not adjusted for the other pairs).
        adjusted_p: Holm's p value among all pairs of the column.
        apart: whether they may be told apart.
    """

    better: str
    worse: str
    difference: Difference
    adjusted_p: float
    apart: bool


@dataclass(frozen=True)
class Comparison:
    """What may be said of one column's methods.

    Attributes:
        order: the methods, the highest mean first.
        pairs: all of their pairs.
        units: how many source scenes.
        seeds: the fewest seeds of a method.
    """

    order: tuple[str, ...]
    pairs: tuple[Pair, ...]
    units: int
    seeds: int

    @property
    def provisional(self) -> bool:
        """Whether the separations stand on fewer than five seeds."""
        return self.seeds < FIRM_SEEDS

    def pair(self, one: str, other: str) -> Pair:
        """The pair of these two methods, in whichever order."""
        return next(pair for pair in self.pairs if {pair.better, pair.worse} == {one, other})

    def tied(self) -> tuple[str, ...]:
        """The method of the highest mean, then those that cannot be told apart from it."""
        best = self.order[0]
        return (best, *(name for name in self.order[1:] if not self.pair(best, name).apart))

    def ranks(self) -> dict[str, tuple[int, int]]:
        """The best and the worst rank that each method may have, 1 the best; all hold together at 95 %."""
        above = {name: sum(pair.apart for pair in self.pairs if pair.worse == name) for name in self.order}
        below = {name: sum(pair.apart for pair in self.pairs if pair.better == name) for name in self.order}
        return {name: (1 + above[name], len(self.order) - below[name]) for name in self.order}

    def cliques(self) -> list[tuple[str, ...]]:
        """The longest runs in the order of which no two methods can be told apart: the bars of a rank strip."""
        found: list[tuple[str, ...]] = []
        for start in range(len(self.order)):
            stop = start + 1
            while stop < len(self.order) and not any(
                self.pair(name, self.order[stop]).apart for name in self.order[start:stop]
            ):
                stop += 1
            if not found or self.order[stop - 1] not in found[-1]:
                found.append(self.order[start:stop])
        return found


def compare(scores: Mapping[str, Scores], alpha: float = 0.05) -> Comparison:
    """Compare all methods of one column with each other.

    Args:
        scores: method → units × seeds in dB, on the same units and the same list of seeds; a column of NaN is a
            seed that this method was not run with. A pair is compared on the seeds that both have.
        alpha: the chance of any false separation.
    """
    order = sorted(scores, key=lambda name: -float(np.nanmean(scores[name])))
    names = list(combinations(order, 2))
    shared = [_shared(scores[better], scores[worse]) for better, worse in names]
    tested = [difference(*both) for both in shared]
    adjusted = holm([one.p for one in tested])
    pairs = tuple(
        Pair(better, worse, one, p, separable(one, p, both[0].shape[1], alpha))
        for (better, worse), both, one, p in zip(names, shared, tested, adjusted, strict=True)
    )
    seeds = min(int(np.isfinite(table).any(axis=0).sum()) for table in scores.values())
    return Comparison(tuple(order), pairs, len(next(iter(scores.values()))), seeds)


def _shared(a: Scores, b: Scores) -> tuple[Scores, Scores]:
    """Both tables on the seeds that both have."""
    both = np.isfinite(a).any(axis=0) & np.isfinite(b).any(axis=0)
    return a[:, both], b[:, both]


def best_group(scores: Mapping[str, Scores]) -> list[str]:
    """The method of the highest mean, then those that cannot be told apart from it."""
    return list(compare(scores).tied())


def wins(scores: Mapping[str, Scores]) -> dict[tuple[str, str], float]:
    """For each ordered pair the share of units × seeds on which the first scores higher; a draw counts half.

    A description of these scenes and seeds: no interval, and no separation follows from it.
    """
    found = {}
    for one in scores:
        for other in scores:
            if one != other:
                a, b = _shared(scores[one], scores[other])
                found[one, other] = float(np.mean((a > b) + 0.5 * (a == b)))
    return found
