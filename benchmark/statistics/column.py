"""Which methods of one column may be told apart: all of its pairs are one family.

Pairs are tested together by Holm's step-down method (Holm, Scandinavian Journal of Statistics 6, 1979), which holds
the chance of any false separation. From it follow the group tied with the best and the ranks that a method may have
(simultaneous rank intervals: Al Mohamad, Goeman and van Zwet, Statistical Methods in Medical Research 31, 2022).
With several looks each spends its share of alpha, and pairs that were told apart leave the family (Maurer and Bretz,
Statistics in Biopharmaceutical Research 5, 2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from benchmark.statistics.crossed import Difference, Scores, differences
from benchmark.statistics.spending import Look

FEWEST_SEEDS = 3
"""With fewer seeds no separation is stated."""
FIRM_SEEDS = 5
"""With fewer seeds a separation is provisional, and stated only beyond `PROVISIONAL_GAP`."""
PROVISIONAL_GAP = 0.1
"""In dB."""


def holm(p: Sequence[float], family: int | None = None) -> list[float]:
    """Holm's adjusted p values, in the order given; `family` counts hypotheses that have no p value too."""
    size = len(p) if family is None else family
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (size - rank) * p[index]))
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
class Comparison:
    """What may be said of one column's methods.

    Attributes:
        order: the methods, the highest mean first.
        pairs: all of their pairs.
        units: how many source scenes.
        seeds: the fewest seeds of a method.
        looks: how many looks were taken.
    """

    order: tuple[str, ...]
    pairs: tuple[Pair, ...]
    units: int
    seeds: int
    looks: int = 1

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


def compare(scores: Mapping[str, Scores], alpha: float = 0.05, looks: Sequence[Look] = ()) -> Comparison:
    """Compare all methods of one column with each other.

    Args:
        scores: method → units × seeds in dB, on the same units and the same list of seeds; a column of NaN is a
            seed that this method was not run with. A pair is compared on the seeds that both have.
        alpha: the chance of any false separation.
        looks: where seeds were added until methods separate, all looks that were planned; the first `seeds` of the
            list of seeds belong to a look. Without, there is one.
    """
    order = sorted(scores, key=lambda name: -float(np.nanmean(scores[name])))
    gaps = {(better, worse): _gaps(scores[better], scores[worse]) for better, worse in combinations(order, 2)}
    most = max((gap.shape[1] for gap in gaps.values()), default=0)
    planned = looks or [Look(0, 1.0)]
    taken = [look for look in planned if look.seeds <= most] or planned[:1]
    found: dict[tuple[str, str], Pair] = {}
    for look in taken:
        open_ = [both for both in gaps if both not in found or not found[both].apart]
        ready = [both for both in open_ if both not in found or gaps[both].shape[1] >= look.seeds]
        found |= _look({both: gaps[both][:, : look.seeds or None] for both in ready}, len(open_), look.share, alpha)
    seeds = min(int(np.isfinite(table).any(axis=0).sum()) for table in scores.values())
    pairs = tuple(found[both] for both in gaps)
    return Comparison(tuple(order), pairs, len(next(iter(scores.values()))), seeds, len(taken))


def _look(
    gaps: Mapping[tuple[str, str], Scores], family: int, share: float, alpha: float
) -> dict[tuple[str, str], Pair]:
    """The pairs as one look finds them, of a family in which others may not be ready."""
    tested = _tested(list(gaps.values()), 1 - alpha * share)
    adjusted = holm([min(1.0, one.p / share) for one in tested], family)
    return {
        both: Pair(*both, one, p, separable(one, p, gaps[both].shape[1], alpha), gaps[both].shape[1])
        for both, one, p in zip(gaps, tested, adjusted, strict=True)
    }


def _gaps(a: Scores, b: Scores) -> Scores:
    """The differences on the seeds that both have."""
    gap = a - b
    return gap[:, np.isfinite(gap).any(axis=0)]


def _tested(gaps: Sequence[Scores], level: float) -> list[Difference]:
    """Each pair's difference; those with equally many seeds are worked out together."""
    found: dict[int, Difference] = {}
    for seeds in {gap.shape[1] for gap in gaps}:
        members = [index for index, gap in enumerate(gaps) if gap.shape[1] == seeds]
        found |= dict(zip(members, differences(np.stack([gaps[index] for index in members]), level), strict=True))
    return [found[index] for index in range(len(gaps))]


def best_group(scores: Mapping[str, Scores]) -> list[str]:
    """The method of the highest mean, then those that cannot be told apart from it."""
    return list(compare(scores).tied())


def wins(scores: Mapping[str, Scores]) -> dict[tuple[str, str], float]:
    """For each ordered pair the share of units × seeds on which the first scores higher; a draw counts half.

    A description of these scenes and seeds: no interval, and no separation follows from it.
    """
    found = {}
    for one, other in permutations(scores, 2):
        gap = _gaps(scores[one], scores[other])
        found[one, other] = float(np.mean((gap > 0) + 0.5 * (gap == 0)))
    return found
