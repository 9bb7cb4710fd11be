"""The crops, from one photograph, in which the outputs of the methods differ most, with the scores of each method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""Side of a crop and of the inspector's loupe, in pixels."""
MOST = 3


class CropBox(TypedDict):
    """A square crop: its upper-left corner, its side in pixels, and the PSNR of each version on it, in dB."""

    x: int
    y: int
    side: int
    scores: list[float | None]


class Contrast(TypedDict):
    """The two restored versions that differ most in a crop: their indices, and the mean difference in grey levels."""

    left: int
    right: int
    levels: float


Pixels = NDArray[np.uint8]


def crops(versions: Sequence[Pixels], restored: Sequence[int], clean: Pixels) -> list[CropBox]:
    """Return the crops in which the restored versions differ most; crops do not overlap.

    Args:
        versions: the H×W×3 or h×w×3 versions of the photograph; those that differ in size from the clean image get no
            score.
        restored: indices of the versions restored by methods.
        clean: the H×W×3 clean image.
    """
    made = [versions[index] for index in restored if versions[index].shape == clean.shape]
    if len(made) < 2 or min(clean.shape[:2]) < SIDE:
        return []
    values = np.stack([version.astype(np.float32) for version in made])
    differ = _sums(values.std(axis=0).mean(axis=-1))
    found: list[CropBox] = []
    while len(found) < MOST and differ.max() > 0:
        y, x = (int(index) for index in np.unravel_index(differ.argmax(), differ.shape))
        scores = [_score(version, clean, x, y) for version in versions]
        found.append(CropBox(x=x, y=y, side=SIDE, scores=scores))
        differ[max(0, y - SIDE + 1) : y + SIDE, max(0, x - SIDE + 1) : x + SIDE] = 0
    return found


def contrast(versions: Sequence[Pixels], restored: Sequence[int], crop: CropBox) -> Contrast:
    """Return the two restored versions whose pixels differ most in a crop, the version with the lower score first."""
    place = (slice(crop["y"], crop["y"] + crop["side"]), slice(crop["x"], crop["x"] + crop["side"]))
    whole = [at for at in restored if versions[at].shape == versions[-1].shape]
    pieces = {at: versions[at][place].astype(np.float64) for at in whole}
    pairs = {pair: float(np.abs(pieces[pair[0]] - pieces[pair[1]]).mean()) for pair in combinations(whole, 2)}
    one, other = max(pairs, key=lambda pair: pairs[pair])
    low, high = sorted((one, other), key=lambda at: _reached(crop["scores"][at]))
    return Contrast(left=low, right=high, levels=round(pairs[one, other], 2))


def _reached(score: float | None) -> float:
    """Return a score as a sort key; None, the score of a crop that equals the clean image, becomes infinity."""
    return math.inf if score is None else score


def farthest(one: Pixels, other: Pixels, side: int) -> tuple[int, int]:
    """Return the upper left corner, x and y, of the square in which two images of equal size differ most."""
    side = min(side, *one.shape[:2])
    differ = _sums(np.abs(one.astype(np.float32) - other).mean(axis=-1), side)
    y, x = (int(index) for index in np.unravel_index(differ.argmax(), differ.shape))
    return x, y


def _sums(values: NDArray[np.float32], side: int = SIDE) -> NDArray[np.float64]:
    """Return the sum of the values in each square crop, indexed by the upper left corner of the crop."""
    summed: NDArray[np.float64] = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    rows: NDArray[np.float64] = summed[side:] - summed[:-side]
    return rows[:, side:] - rows[:, :-side]


def _score(version: Pixels, clean: Pixels, x: int, y: int) -> float | None:
    """Return the PSNR of a crop over its three channels; None if it equals the clean image or the sizes differ."""
    if version.shape != clean.shape:
        return None
    place = (slice(y, y + SIDE), slice(x, x + SIDE))
    error = np.square(version[place].astype(np.float64) - clean[place]).mean()
    return round(float(10 * np.log10(255**2 / error)), 2) if error else None
