"""Keypoints that are robust to rotation, cropping, resizing and degradation, with a 64-bit hash of their surroundings.

Source: keypoints are extrema of the difference of Gaussians (Lowe, Distinctive image features from scale-invariant
keypoints, IJCV 2004). Each bit of the hash is the sign of the difference of Gaussians at one of 8×8 points around the
keypoint; the spacing of the points is proportional to the keypoint's scale. An image that is rotated by a multiple of
90° has the same keypoints, with the bits of the hashes in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.images.overlaps.turns import Turn

SCALE = 1.6
"""σ of the Gaussian at the finest level, in pixels."""
LEVELS, OCTAVES = 3, 4
GRID, SPACING = 8, 1.5
"""The number of points per side of the hash's grid, and the spacing of the points in σ of the keypoint."""
KEPT = 200
CONTRAST = 0.02
"""The minimum difference of Gaussians at a keypoint, in standard deviations of the image."""
EDGE = 10
"""The maximum ratio of the principal curvatures at a keypoint; on an edge, a keypoint would be unstable."""

Codes = NDArray[np.uint64]
Places = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
"""Level, row and column."""


@dataclass(frozen=True)
class Blobs:
    """The strongest keypoints.

    Attributes:
        points: positions, N×2: x and y in pixels from the top left corner of the image.
        scales: N, σ in pixels.
        codes: N hashes.
    """

    points: NDArray[np.float32]
    scales: NDArray[np.float32]
    codes: Codes


def find(grey: NDArray[np.float32]) -> Blobs:
    """Detect the keypoints of a greyscale image, H×W."""
    rows = [_rows(differences, 2**octave) for octave, differences in enumerate(_octaves(grey))]
    strength, points, scales, bits = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    kept = np.argsort(-strength, kind="stable")[:KEPT]
    return Blobs(points[kept].astype(np.float32), scales[kept].astype(np.float32), packed(bits[kept]))


def packed(bits: NDArray[np.bool_]) -> Codes:
    """Pack bits, N×8×8, into 64-bit hashes."""
    scattered = bits.reshape(len(bits), GRID * GRID)[:, _order()]
    return np.ascontiguousarray(np.packbits(scattered, axis=1)).view(np.uint64).ravel()


def turned(codes: Codes, turn: Turn) -> Codes:
    """Return the hashes of the same keypoints after the image is flipped or rotated."""
    bits = np.empty((len(codes), GRID * GRID), np.bool_)
    bits[:, _order()] = np.unpackbits(codes.view(np.uint8).reshape(len(codes), 8), axis=1)
    return packed(turn(bits.reshape(-1, GRID, GRID)))


def _order() -> NDArray[np.intp]:
    """Return the order of the bits in a hash, which separates the correlated bits of neighbouring points."""
    return np.arange(GRID * GRID) * 37 % (GRID * GRID)


def _octaves(grey: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield differences of Gaussians, (LEVELS + 2)×H×W, of the image and of the image downscaled by 2, 4 and 8."""
    from scipy.ndimage import gaussian_filter

    sigmas = SCALE * 2 ** (np.arange(LEVELS + 3) / LEVELS)
    base = gaussian_filter(_standard(grey), SCALE)
    for _ in range(OCTAVES):
        levels = [base]
        for step in np.sqrt(np.diff(sigmas**2)):
            levels.append(gaussian_filter(levels[-1], step))
        yield np.diff(np.stack(levels), axis=0)
        base = levels[LEVELS][::2, ::2]


def _standard(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise brightness and contrast; a constant image becomes zero."""
    centred = grey - grey.mean()
    spread = float(centred.std())
    standard: NDArray[np.float32] = centred / spread if spread > 0 else centred
    return standard


def _rows(differences: NDArray[np.float32], factor: int) -> tuple[NDArray[np.generic], ...]:
    """Return strength, position, scale and hash bits of the keypoints in an image that is downscaled by `factor`."""
    levels, rows, columns = places = _places(differences)
    scales = SCALE * 2 ** (levels / LEVELS)
    points = np.stack([columns, rows], axis=1) * float(factor) + 0.5
    return np.abs(differences[places]), points, scales * factor, _around(differences, places, scales)


def _places(differences: NDArray[np.float32]) -> Places:
    """Return the positions of keypoints: maxima and minima among their 26 neighbours that are not on an edge."""
    from scipy.ndimage import maximum_filter, minimum_filter

    extreme = (differences == maximum_filter(differences, 3)) | (differences == minimum_filter(differences, 3))
    extreme &= np.abs(differences) > CONTRAST
    inner = np.zeros_like(extreme)
    inner[1:-1, 1:-1, 1:-1] = True
    level, y, x = np.nonzero(extreme & inner)
    around = {(i, j): differences[level, y + i, x + j] for i in (-1, 0, 1) for j in (-1, 0, 1)}
    across = around[0, 1] + around[0, -1] - 2 * around[0, 0]
    down = around[1, 0] + around[-1, 0] - 2 * around[0, 0]
    mixed = (around[1, 1] + around[-1, -1] - around[1, -1] - around[-1, 1]) / 4
    round_ = (across + down) ** 2 * EDGE < (EDGE + 1) ** 2 * (across * down - mixed**2)
    return level[round_], y[round_], x[round_]


def _around(differences: NDArray[np.float32], places: Places, scales: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the hash bits of each keypoint, N×8×8."""
    from scipy.ndimage import map_coordinates

    offsets = (np.arange(GRID) - (GRID - 1) / 2) * SPACING * scales[:, None]
    level, y, x = (place[:, None, None] for place in places)
    grid = np.broadcast_arrays(level, y + offsets[:, :, None], x + offsets[:, None, :])
    values = map_coordinates(differences, np.stack(grid), order=1, mode="reflect")
    signs: NDArray[np.bool_] = values > 0
    return signs
