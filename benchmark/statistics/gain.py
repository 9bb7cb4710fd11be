"""The fraction of full fine-tuning's gain that a method recovers in a column.

Source: Fieller, Some Problems in Interval Estimation, Journal of the Royal Statistical Society B 16, 1954: the interval
of a ratio is the set of all ratios r for which the mean of `method − r × full`, both as gains over the frozen network,
is compatible with zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.statistics.crossed import Floats, Scores, half_width, mean_squares

SMALLEST_GAIN = 0.3
"""The gain of full fine-tuning, in dB, above which the recovered fraction is meaningful."""
FARTHEST, HALVINGS = 1e6, 50
"""The greatest distance from the estimate, and the number of bisection steps, in the search for an end of the interval.
"""


@dataclass(frozen=True)
class Interval:
    """An estimate and the two ends of its interval."""

    value: float
    low: float
    high: float


def recovered(method: Scores, full: Scores, frozen: Scores, level: float = 0.95) -> Interval | None:
    """Return a method's gain over the frozen network as a fraction of the gain of full fine-tuning.

    Args:
        method: scores of the method, units × seeds in dB.
        full: the scores of full fine-tuning on the same units with the same seeds.
        frozen: the scores of the frozen network, units × 1 or units × seeds.
        level: confidence level of the interval.

    Returns:
        None if the gain of full fine-tuning is at most 0.3 dB or its interval contains 0.
    """
    return shares({"": method}, full, frozen, level).get("")


def shares(methods: Mapping[str, Scores], full: Scores, frozen: Scores, level: float = 0.95) -> dict[str, Interval]:
    """Return `recovered` for the methods of a column, or {} if full fine-tuning's gain is too small or uncertain."""
    whole = full - frozen
    gain = mean_squares(whole)
    if not methods or gain.mean <= max(SMALLEST_GAIN, float(half_width(gain, level))):
        return {}
    own = np.stack(list(methods.values())) - frozen
    found = own.mean(axis=(-2, -1)) / whole.mean()

    def compatible(ratios: Floats) -> NDArray[np.bool_]:
        squares = mean_squares(own - ratios[:, None, None] * whole)
        return np.asarray(np.abs(squares.mean) <= half_width(squares, level))

    ends = zip(found, _edge(compatible, found, -1.0), _edge(compatible, found, 1.0), strict=True)
    return {name: Interval(*map(float, values)) for name, values in zip(methods, ends, strict=True)}


def intervals(gaps: Floats, level: float = 0.95) -> list[Interval]:
    """Return the mean of each of n tables, `n × units × seeds`, with the interval that `difference` computes."""
    squares = mean_squares(gaps)
    half = half_width(squares, level)
    return [
        Interval(*map(float, ends)) for ends in zip(squares.mean, squares.mean - half, squares.mean + half, strict=True)
    ]


def _edge(compatible: Callable[[Floats], NDArray[np.bool_]], inside: Floats, direction: float) -> Floats:
    """Return the end of the range of compatible ratios in one direction, or infinity if the range has no end."""
    near, far = np.zeros_like(inside), np.full_like(inside, 1e-3)
    while (inner := compatible(inside + direction * far) & (far <= FARTHEST)).any():
        far = np.where(inner, 2 * far, far)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        inner = compatible(inside + direction * middle)
        near, far = np.where(inner, middle, near), np.where(inner, far, middle)
    return np.asarray(np.where(far > FARTHEST / 2, direction * np.inf, inside + direction * near))
