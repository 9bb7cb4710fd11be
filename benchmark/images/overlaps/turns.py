"""The eight flips and rotations of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]
P = TypeVar("P", bound=np.generic)


@dataclass(frozen=True)
class Turn:
    """A flip or rotation, which exchanges rows and columns before it reverses their order.

    Attributes:
        name: description of the transform; rotations are clockwise.
        transposed: whether rows and columns are exchanged.
        flipped: whether the order of rows is reversed.
        mirrored: whether the order of columns is reversed.
    """

    name: str
    transposed: bool
    flipped: bool
    mirrored: bool

    def __call__(self, images: NDArray[P]) -> NDArray[P]:
        """Return the images, …×H×W, flipped or rotated."""
        turned = np.swapaxes(images, -2, -1) if self.transposed else images
        return turned[..., :: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Return width and height of the turned image."""
        return (height, width) if self.transposed else (width, height)

    def points(self, points: Points, width: float, height: float) -> Points:
        """Map points of an image of `width`×`height`, N×2, x and y in pixels from the corner, to the turned image."""
        return self._reversed(points[:, ::-1] if self.transposed else points, *self.size(width, height))

    def back(self, points: Points, width: float, height: float) -> Points:
        """Map points of the turned image back to the original image, of size `width`×`height`."""
        reversed_ = self._reversed(points, *self.size(width, height))
        return reversed_[:, ::-1] if self.transposed else reversed_

    def _reversed(self, points: Points, width: float, height: float) -> Points:
        x, y = points[:, 0], points[:, 1]
        return np.stack([width - x if self.mirrored else x, height - y if self.flipped else y], axis=1)


TURNS = (
    Turn("as it is", False, False, False),
    Turn("mirrored", False, False, True),
    Turn("upside down and mirrored", False, True, False),
    Turn("rotated by 180°", False, True, True),
    Turn("rotated by 90° and mirrored", True, False, False),
    Turn("rotated by 90°", True, False, True),
    Turn("rotated by 270°", True, True, False),
    Turn("rotated by 270° and mirrored", True, True, True),
)
