"""Which methods may be told apart: images and seeds are crossed random effects, all pairs of a column one family.

A nested bootstrap at a nominal 95 % covers about 75 % with three seeds. The interval here is the two-way crossed
random-effects t interval with Satterthwaite's degrees of freedom (Satterthwaite, Biometrics Bulletin 2, 1946), and
pairs are tested together by Holm's step-down method (Holm, Scandinavian Journal of Statistics 6, 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""Units × seeds, in dB; one unit is one source scene."""

FEWEST_SEEDS = 3
"""With fewer seeds no separation is stated."""
FIRM_SEEDS = 5
"""With fewer seeds a separation is provisional, and stated only beyond `PROVISIONAL_GAP`."""
PROVISIONAL_GAP = 0.1
"""In dB."""


@dataclass(frozen=True)
class Difference:
    """A mean difference, the two ends of its interval, and the p value of "no difference"."""

    mean: float
    low: float
    high: float
    p: float


def difference(a: Scores, b: Scores, level: float = 0.95) -> Difference:
    """The mean of `a - b` with its two-way crossed random-effects t interval.

    Args:
        a: scores, units × seeds, at least 2 × 2.
        b: the scores of the other method on the same units with the same seeds.
        level: of the interval.
    """
    from scipy import stats

    gap = a - b
    mean = float(gap.mean())
    variance, freedom = _variance_of_mean(gap)
    if variance == 0.0:
        return Difference(mean, mean, mean, 0.0 if mean else 1.0)
    error = variance**0.5
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return Difference(mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, freedom)))


def _variance_of_mean(gap: Scores) -> tuple[float, float]:
    """Variance of the grand mean and its degrees of freedom; a component estimated below zero drops out."""
    units, seeds = gap.shape
    by_unit = gap.mean(axis=1, keepdims=True) - gap.mean()
    by_seed = gap.mean(axis=0, keepdims=True) - gap.mean()
    rest = gap - gap.mean() - by_unit - by_seed
    error = _Square(float((rest**2).sum()), (units - 1) * (seeds - 1))
    unit = _Square(seeds * float((by_unit**2).sum()), units - 1)
    seed = _Square(units * float((by_seed**2).sum()), seeds - 1)
    # an effect as large as the error is none: without the margin, rounding would choose between the two estimates
    effects = [square for square in (unit, seed) if square.mean > error.mean * (1 + 1e-9)]
    used = effects if len(effects) == 1 else [*effects, error]
    total = unit.mean + seed.mean - error.mean if len(effects) == 2 else used[0].mean
    if total <= 1e-18 * max(1.0, float((gap**2).mean())):
        return 0.0, 1.0
    return total / (units * seeds), total**2 / sum(square.mean**2 / square.freedom for square in used)


@dataclass(frozen=True)
class _Square:
    """A sum of squares and its degrees of freedom."""

    total: float
    freedom: int

    @property
    def mean(self) -> float:
        return self.total / self.freedom


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def separable(pair: Difference, adjusted_p: float, seeds: int) -> bool:
    """Whether a pair may be told apart with this many seeds; below five, only beyond 0.1 dB."""
    enough = seeds >= FIRM_SEEDS or (seeds >= FEWEST_SEEDS and abs(pair.mean) > PROVISIONAL_GAP)
    return enough and adjusted_p < 0.05


def best_group(scores: Mapping[str, Scores]) -> list[str]:
    """The method of the highest mean, then those that cannot be told apart from it.

    Args:
        scores: method → units × seeds, all of one shape; the family tested together is all of their pairs.
    """
    names = list(scores)
    pairs = list(combinations(names, 2))
    tested = [difference(scores[a], scores[b]) for a, b in pairs]
    adjusted = holm([pair.p for pair in tested])
    best = max(names, key=lambda name: float(scores[name].mean()))
    seeds = scores[best].shape[1]
    apart = {
        frozenset(names) for names, pair, p in zip(pairs, tested, adjusted, strict=True) if separable(pair, p, seeds)
    }
    return [best, *(name for name in names if name != best and frozenset((best, name)) not in apart)]
