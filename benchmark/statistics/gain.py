"""How much of full fine-tuning's gain a method recovers, in one column.

Source: Fieller, Some Problems in Interval Estimation, Journal of the Royal Statistical Society B 16, 1954: the
interval of a ratio is the set of all ratios r for which `method − r × full` is compatible with no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmark.statistics.crossed import Scores, half_width, mean_squares

SMALLEST_GAIN = 0.3
"""In dB: where full fine-tuning gains less, a share of it says nothing."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the two ends of its interval."""

    value: float
    low: float
    high: float


def recovered(method: Scores, full: Scores, frozen: Scores, level: float = 0.95) -> Interval | None:
    """The share of full fine-tuning's gain over the frozen network that a method recovers; 1 is all of it.

    Args:
        method: its scores, units × seeds in dB.
        full: the scores of full fine-tuning on the same units with the same seeds.
        frozen: the scores of the frozen network, units × 1 or units × seeds.
        level: of the interval.

    Returns:
        None where the gain of full fine-tuning is at most 0.3 dB or its interval holds 0.
    """
    own, whole = method - frozen, full - frozen
    gain = mean_squares(whole)
    if gain.mean <= max(SMALLEST_GAIN, float(half_width(gain, level))):
        return None
    share = float(own.mean() / whole.mean())

    def compatible(ratio: float) -> bool:
        squares = mean_squares(own - ratio * whole)
        return bool(abs(squares.mean) <= half_width(squares, level))

    return Interval(share, _edge(compatible, share, -1.0), _edge(compatible, share, 1.0))


def _edge(compatible: Callable[[float], bool], inside: float, direction: float) -> float:
    """Where compatibility ends on one side of a ratio that is compatible; infinite where it does not."""
    step = 1e-3
    while compatible(inside + direction * step):
        step *= 2
        if step > 1e6:
            return direction * float("inf")
    near, far = 0.0, step
    for _ in range(50):
        middle = (near + far) / 2
        near, far = (middle, far) if compatible(inside + direction * middle) else (near, middle)
    return inside + direction * near
