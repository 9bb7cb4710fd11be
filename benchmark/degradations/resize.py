"""Bicubic resizing like MATLAB's `imresize`, the usual degradation in super-resolution research."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Chain, Degradation, Image
from petlir.benchmark.errors import PetlirError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Bicubic(Degradation):
    """Antialiased bicubic downscaling by an integer factor, rounded to 8 bits.

    Source: MATLAB `imresize(..., "bicubic")`, as in Lim et al., EDSR, CVPRW 2017.

    Attributes:
        scale: downscaling factor.
    """

    scale: int
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise PetlirError(f"the scale of a bicubic degradation must be a positive integer, not {self.scale}")

    @property
    def factor(self) -> int:
        """The downscaling factor."""
        return self.scale

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, downscaled to ⌈H/scale⌉×⌈W/scale⌉."""
        return imresize(image, 1 / self.scale)


def beyond_bicubic(degradation: Degradation | None) -> Degradation | None:
    """Return the steps after bicubic downscaling, or None if the first step is not bicubic downscaling."""
    if isinstance(degradation, Bicubic):
        return Degradation()
    if isinstance(degradation, Chain) and isinstance(degradation.steps[0], Bicubic):
        return Chain(degradation.steps[1:]) if degradation.steps[1:] else Degradation()
    return None


def imresize(image: Image, scale: float) -> Image:
    """Resize an image, H×W×3 uint8, to ⌈H·scale⌉×⌈W·scale⌉ like MATLAB's `imresize(image, scale)`.

    The filter is Keys' cubic kernel (a = -0.5), widened by 1/scale when downscaling. Edges are mirrored, and values
    halfway between two integers are rounded up.
    """
    height, width = (max(1, int(np.ceil(np.round(side * scale, 6)))) for side in image.shape[:2])
    rows = axis_weights(image.shape[0], height, scale)
    columns = axis_weights(image.shape[1], width, scale)
    shrunk = (rows @ image.reshape(image.shape[0], -1).astype(np.float64)).reshape(height, -1, 3)
    across = columns @ shrunk.transpose(1, 0, 2).reshape(image.shape[1], -1)
    resized = across.reshape(width, height, 3).transpose(1, 0, 2)
    rounded: Image = np.ascontiguousarray(np.floor(resized.clip(0, 255) + 0.5).astype(np.uint8))
    return rounded


def enlarge(image: Image, scale: int) -> Image:
    """Return the image, H×W×3 uint8, upscaled bicubically by `scale`: the usual baseline of super-resolution."""
    return imresize(image, scale)


@lru_cache(maxsize=64)
def axis_weights(size: int, target: int, scale: float) -> csr_array:
    """Return the sparse matrix, target×size, that resizes one axis; its rows sum to 1."""
    from scipy.sparse import csr_array

    stretch = min(scale, 1.0)
    reach = int(np.ceil(4 / stretch)) + 2
    place = (np.arange(target) + 0.5) / scale - 0.5
    taps = np.floor(place - 2 / stretch).astype(int)[:, None] + np.arange(reach)
    weights = _cubic((place[:, None] - taps) * stretch)
    weights /= weights.sum(1, keepdims=True)
    mirrored = taps % (2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    rows = np.repeat(np.arange(target), reach)
    return csr_array((weights.ravel(), (rows, mirrored.ravel())), shape=(target, size))


def _cubic(x: Array) -> Array:
    """Evaluate Keys' cubic convolution kernel with a = -0.5 (IEEE TASSP 1981)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    kernel: Array = np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
    return kernel
