"""Estimate the position of one image in another from matching keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.images.overlaps.turns import Points

SUPPORT = 4
"""The minimum number of keypoints that must agree on a placement, which is verified afterwards."""
MOST = 400
"""The maximum number of keypoint pairs that are used; more pairs indicate a repetitive pattern, e.g. a brick wall."""
NEARBY, LEEWAY = 0.6, 0.3
"""Tolerances on the position of a keypoint, in σ of the keypoint, and on the logarithm of its scale."""


@dataclass(frozen=True)
class Placement:
    """A similarity transform: a point p of one image maps to `scale` · p + `shift` in the other image.

    Attributes:
        scale: pixels of the other image per pixel of the first image.
        shift: x and y, in pixels of the other image.
        support: number of distinct keypoints that agree on the placement.
    """

    scale: float
    shift: tuple[float, float]
    support: int


def place(points: Points, scales: Points, there: Points, scales_there: Points) -> Placement | None:
    """Return the placement on which the most pairs of keypoints agree, or None if too few pairs agree.

    Args:
        points: positions of the keypoints in one image, N×2.
        scales: N, their σ.
        there: positions of the matching keypoints in the other image, N×2.
        scales_there: N, their σ.
    """
    points, scales, there, scales_there = points[:MOST], scales[:MOST], there[:MOST], scales_there[:MOST]
    factors = scales_there / scales
    agree = _most(points, there, scales_there, factors)
    for _ in range(3):
        if agree.sum() < SUPPORT:
            return None
        scale, shift = _fit(points[agree], there[agree])
        if scale <= 0:
            return None
        off = np.linalg.norm(there - scale * points - shift, axis=1)
        agree = (off < NEARBY * scales_there + 0.5) & (np.abs(np.log(factors / scale)) < LEEWAY)
    support = min(_different(points[agree], scales[agree]), _different(there[agree], scales_there[agree]))
    return Placement(scale, (float(shift[0]), float(shift[1])), support) if support >= SUPPORT else None


def _most(points: Points, there: Points, scales_there: Points, factors: Points) -> NDArray[np.bool_]:
    """Return the largest set of pairs that agree with a single pair, within a tolerance for its inexact scale."""
    apart = points[None] - points[:, None]
    apart_there = there[None] - there[:, None]
    off = np.linalg.norm(apart_there - factors[:, None, None] * apart, axis=2)
    near = off < scales_there + 0.15 * np.linalg.norm(apart_there, axis=2)
    agree = near & (np.abs(np.log(factors[None] / factors[:, None])) < LEEWAY)
    chosen: NDArray[np.bool_] = agree[np.argmax(agree.sum(axis=1))]
    return chosen


def _fit(points: Points, there: Points) -> tuple[float, Points]:
    """Fit the scale and the shift of a placement by least squares."""
    middle, middle_there = points.mean(axis=0), there.mean(axis=0)
    centred = points - middle
    size = float((centred**2).sum())
    scale = float((centred * (there - middle_there)).sum()) / size if size > 0 else 0.0
    return scale, middle_there - scale * middle


def _different(points: Points, scales: Points) -> int:
    """Count the distinct keypoints; keypoints within each other's extent count once."""
    if not len(points):
        return 0
    return len(np.unique(np.round(points / (2 * np.median(scales))), axis=0))
