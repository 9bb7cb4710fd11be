"""The interval of a difference: source scenes and seeds are crossed random effects.

A nested bootstrap at a nominal 95 % covers about 75 % with three seeds. The interval here is the two-way crossed
random-effects t interval with Satterthwaite's degrees of freedom (Satterthwaite, Biometrics Bulletin 2, 1946).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""Units × seeds, in dB; one unit is one source scene."""


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
        a: scores, units × seeds, at least 2 × 2; a unit's images are averaged first.
        b: the scores of the other method on the same units with the same seeds.
        level: of the interval.
    """
    mean, low, high, p = (float(value) for value in crossed(a - b, level))
    return Difference(mean, low, high, p)


def crossed(gaps: NDArray[np.float64], level: float = 0.95) -> tuple[NDArray[np.float64], ...]:
    """Mean, low end, high end and p value of each table of differences, `... × units × seeds`."""
    from scipy import stats

    mean = gaps.mean(axis=(-2, -1))
    variance, freedom = _variance_of_mean(gaps)
    certain = variance == 0.0
    error = np.sqrt(np.where(certain, 1.0, variance))
    half = np.where(certain, 0.0, stats.t.ppf((1 + level) / 2, freedom) * error)
    p = np.where(certain, np.where(mean == 0.0, 1.0, 0.0), 2 * stats.t.sf(np.abs(mean) / error, freedom))
    return mean, mean - half, mean + half, p


def _variance_of_mean(gaps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance of the grand mean and its degrees of freedom; a component estimated below zero drops out."""
    units, seeds = gaps.shape[-2:]
    mean = gaps.mean(axis=(-2, -1), keepdims=True)
    by_unit = gaps.mean(axis=-1, keepdims=True) - mean
    by_seed = gaps.mean(axis=-2, keepdims=True) - mean
    rest = gaps - mean - by_unit - by_seed
    freedoms = np.array([units - 1, seeds - 1, (units - 1) * (seeds - 1)])
    unit = seeds * (by_unit**2).sum(axis=(-2, -1)) / freedoms[0]
    seed = units * (by_seed**2).sum(axis=(-2, -1)) / freedoms[1]
    error = (rest**2).sum(axis=(-2, -1)) / freedoms[2]
    # an effect as large as the error is none: without the margin, rounding would choose between the two estimates
    floor = error * (1 + 1e-9)
    has_unit, has_seed = unit > floor, seed > floor
    used = np.stack([has_unit * unit, has_seed * seed, (has_unit == has_seed) * error], axis=-1)
    total = np.where(has_unit & has_seed, unit + seed - error, used.sum(axis=-1))
    certain = total <= 1e-18 * np.maximum(1.0, (gaps**2).mean(axis=(-2, -1)))
    spread = np.where(certain, 1.0, (used**2 / freedoms).sum(axis=-1))
    return np.where(certain, 0.0, total / (units * seeds)), np.where(certain, 1.0, total**2 / spread)
