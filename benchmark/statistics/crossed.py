"""Interval and test of a difference, with source scenes and seeds as crossed random effects.

The variance of the mean of units × seeds is (U + S − E) / (units · seeds), where U, S and E are the expected mean
squares of units, seeds and error. The interval and the test use different approximations:

- The **interval** is a t interval with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946). The coverage
  of the plain Satterthwaite interval is 92 to 100 % at a nominal 95 %, because U + S − E can be zero or negative, and
  few seeds give too many degrees of freedom. Here a smooth positive variance replaces U + S − E, and the degrees of
  freedom are shrunk towards the degrees of freedom of units or of seeds, whichever are fewer. The constants of both
  corrections are calibrated by simulation, not derived. `python -m petlir.benchmark.statistics.simulation` measures the
  coverage, and `conditions.printable` tells for which numbers of units and seeds the interval is valid.
- The **p value** is Banerjee's (Sankhyā 22, 1960): it solves mean² = Σ t²(p) · mean square / (units · seeds), a sum of
  one term for units and one for seeds, each with the t quantile of its own degrees of freedom. For normal effects of
  any size, the p value is never too small, even far in the tail. Tests of many pairs depend on the tail of the
  distribution, where Satterthwaite's approximation is wrong by a factor of ten.

If one of the two effects is absent, the interval and the p value are those of the one-sample t test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = Floats
"""A table of scores in dB, units × seeds; a unit is a source scene."""

NOTHING = 1e-18
"""The fraction of the mean squared difference below which a mean square is a rounding error."""
SMALLEST = 1e-130
"""The smallest p value distinguished from 0."""
SKEWNESS = 2.0
"""Factor by which p values are multiplied in tests of many pairs, since skewed effects make p values too small."""
STEPS = 8
"""The largest number of steps of Newton's method; six are enough."""
CLOSE = 1e-6
"""The step of log p below which Newton's method stops: the next step, about its square, would be lost in rounding."""


@dataclass(frozen=True)
class Difference:
    """A mean difference, the two ends of its interval, and the p value of the hypothesis "no difference"."""

    mean: float
    low: float
    high: float
    p: float


def difference(a: Scores, b: Scores, level: float = 0.95) -> Difference:
    """Return the mean of `a - b` with its confidence interval and p value, for crossed units and seeds.

    Args:
        a: scores of a method, units × seeds, at least 2 × 2; each score is the mean over a unit's images.
        b: the scores of the other method on the same units with the same seeds.
        level: confidence level of the interval.
    """
    return Difference(*map(float, differences((a - b)[None], level)[:, 0]))


def differences(gaps: Floats, level: float = 0.95) -> Floats:
    """Compute `difference` for many pairs at once.

    Args:
        gaps: score differences, pairs × units × seeds.
        level: confidence level of the intervals.

    Returns:
        4 × pairs: the means, the lower and the upper ends of their intervals, and the p values.
    """
    squares = mean_squares(gaps)
    half = half_width(squares, level)
    return np.stack([squares.mean, squares.mean - half, squares.mean + half, p_value(squares)])


def differences_of(gaps: Sequence[Scores], level: float = 0.95) -> list[Difference | None]:
    """Compute `difference` for tables of several shapes; None for a table with fewer than two units or seeds."""
    found: list[Difference | None] = [None] * len(gaps)
    for shape in {gap.shape for gap in gaps if min(gap.shape) > 1}:
        alike = [place for place, gap in enumerate(gaps) if gap.shape == shape]
        columns = differences(np.stack([gaps[place] for place in alike]), level).T
        for place, column in zip(alike, columns, strict=True):
            found[place] = Difference(*map(float, column))
    return found


@dataclass(frozen=True)
class Squares:
    """The grand means and mean squares of several tables of units × seeds, as arrays with one value per table.

    Attributes:
        units: number of units.
        seeds: number of seeds.
        mean: the grand mean.
        unit: mean square of the units, with units − 1 degrees of freedom.
        seed: mean square of the seeds, with seeds − 1 degrees of freedom.
        error: residual mean square, with (units − 1)(seeds − 1) degrees of freedom.
    """

    units: int
    seeds: int
    mean: Floats
    unit: Floats
    seed: Floats
    error: Floats


def mean_squares(gaps: Floats) -> Squares:
    """Return the mean squares of tables `... × units × seeds`; a mean square that is a rounding error becomes zero."""
    units, seeds = gaps.shape[-2:]
    mean = gaps.mean(axis=(-2, -1), keepdims=True)
    by_unit = gaps.mean(axis=-1, keepdims=True) - mean
    by_seed = gaps.mean(axis=-2, keepdims=True) - mean
    rest = gaps - mean - by_unit - by_seed
    unit = seeds * (by_unit**2).sum(axis=(-2, -1)) / (units - 1)
    seed = units * (by_seed**2).sum(axis=(-2, -1)) / (seeds - 1)
    error = (rest**2).sum(axis=(-2, -1)) / ((units - 1) * (seeds - 1))
    least = NOTHING * np.maximum(1.0, (gaps**2).mean(axis=(-2, -1)))
    unit, seed, error = (np.where(square > least, square, 0.0) for square in (unit, seed, error))
    return Squares(units, seeds, mean[..., 0, 0], unit, seed, error)


def half_width(squares: Squares, level: float = 0.95) -> Floats:
    """Return half the width of the interval, or zero if the differences do not vary."""
    return half_widths(squares, [level])[0]


def half_widths(squares: Squares, levels: Sequence[float]) -> list[Floats]:
    """Return `half_width` for several levels."""
    variance = _variance(squares)
    some = variance > 0.0
    freedom, deviation = np.where(some, _freedom(squares), 1.0), np.sqrt(variance / (squares.units * squares.seeds))
    return [np.where(some, _quantile(freedom, 1 - level) * deviation, 0.0) for level in levels]


def _variance(squares: Squares) -> Floats:
    """Return a positive substitute for the variance U + S − E.

    The substitute is the larger root of v² − d v = k min(U, E) min(S, E), with d = U + S − (1 + c) E. The constants k
    and c depend on the numbers of units and seeds.
    """
    units, seeds = squares.units - 1, squares.seeds - 1
    coarse, fine = 1 / units + 1 / seeds, 1 / (units * seeds)
    excess = squares.unit + squares.seed - (1 + coarse + 3 * fine) * squares.error
    small = np.minimum(squares.unit, squares.error) * np.minimum(squares.seed, squares.error)
    return (excess + np.sqrt(excess**2 + 4 * 1.37 * coarse / (1 + 5 * fine) * small)) / 2


def _freedom(squares: Squares) -> Floats:
    """Return Satterthwaite's degrees of freedom, shrunk towards those of units or of seeds, whichever are fewer."""
    fewer, more = sorted((squares.units - 1, squares.seeds - 1))
    unit, seed = np.maximum(squares.unit, squares.error), np.maximum(squares.seed, squares.error)
    parts = unit**2 / (squares.units - 1) + seed**2 / (squares.seeds - 1) + squares.error**2 / (fewer * more)
    plain = (unit + seed - squares.error) ** 2 / np.where(parts > 0.0, parts, 1.0)
    above = np.maximum(plain - fewer, 0.0)
    drawn = fewer / (fewer + 3.3 * max(0.0, 1 - 1.2 * fewer / more))
    share = np.minimum(above / (more - fewer), 1.0) if more > fewer else 1.0
    return np.where(plain > fewer, fewer + above * (drawn + (1 - drawn) * share), np.maximum(plain, 1e-3))


def p_value(squares: Squares) -> Floats:
    """Return Banerjee's p value of the hypothesis "no difference".

    If the differences do not vary, the p value is 1 for a mean of zero and 0 otherwise.

    Newton's method is applied to the logarithms of both sides of the equation. The root lies between the p values of
    two t tests: one test uses the degrees of freedom of units for both mean squares, and the other uses those of seeds.
    """
    from scipy import special

    constant = (squares.unit == 0.0) & (squares.seed == 0.0)
    spread = np.where(constant, 1.0, squares.unit + squares.seed)
    left = np.maximum(squares.mean**2 * squares.units * squares.seeds, SMALLEST)
    ends = [2 * special.stdtr(freedom - 1, -np.sqrt(left / spread)) for freedom in (squares.units, squares.seeds)]
    low, high = (np.log(np.maximum(end, SMALLEST)) for end in (np.minimum(*ends), np.maximum(*ends)))
    at = low
    for _ in range(STEPS):
        over, slope = _excess(squares, at, left)
        low, high = np.where(over > 0.0, at, low), np.where(over > 0.0, high, at)
        before, at = at, np.clip(at - over / slope, low, high)
        if (np.abs(at - before) < CLOSE).all():
            break
    return np.where(constant, np.where(squares.mean == 0.0, 1.0, 0.0), np.exp(at))


def _excess(squares: Squares, log_p: Floats, left: Floats) -> tuple[Floats, Floats]:
    """Return the log ratio of the right to the left side of Banerjee's equation, and its slope, at values of log p."""
    from scipy import special

    total, slope = np.full_like(left, SMALLEST), np.full_like(left, -SMALLEST)
    for count, square in ((squares.units, squares.unit), (squares.seeds, squares.seed)):
        freedom = count - 1
        t = _quantile(freedom, np.exp(log_p))
        height = np.exp(special.gammaln(count / 2) - special.gammaln(freedom / 2)) / (freedom * np.pi) ** 0.5
        density = height * (1 + t**2 / freedom) ** (-count / 2)
        total += square * t**2
        slope -= square * t * np.exp(log_p) / density
    return np.log(total / left), slope / total


def beyond(squares: Squares, alpha: Floats | float) -> NDArray[np.bool_]:
    """Return whether the p value is below alpha."""
    unit = _quantile(squares.units - 1, alpha) ** 2 * squares.unit
    seed = _quantile(squares.seeds - 1, alpha) ** 2 * squares.seed
    found: NDArray[np.bool_] = squares.mean**2 * squares.units * squares.seeds > unit + seed
    return found


def _quantile(freedom: Floats | int, alpha: Floats | float) -> Floats:
    """Return the value that |t| exceeds with probability alpha."""
    from scipy import special

    quantile: Floats = -special.stdtrit(freedom, np.asarray(alpha) / 2)
    return quantile
