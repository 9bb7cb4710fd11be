"""Degradations that blur an image without changing its size: defocus, motion blur, and loss of resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Degradation, Image
from petlir.benchmark.degradations.resize import imresize
from petlir.benchmark.errors import PetlirError

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class GaussianBlur(Degradation):
    """Convolution with an isotropic Gaussian; edges are mirrored.

    Source: the degradation model of Zhang et al., Learning a single convolutional super-resolution network for
    multiple degradations (SRMD), CVPR 2018.

    Attributes:
        sigma: standard deviation of the Gaussian in pixels; 0 leaves the image unchanged.
    """

    sigma: float
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.sigma < 0:
            raise PetlirError(f"the sigma of a Gaussian blur must be 0 or more, not {self.sigma}")

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, blurred; `rng` is not used."""
        from scipy.ndimage import gaussian_filter

        return _rounded(gaussian_filter(image.astype(np.float64), (self.sigma, self.sigma, 0)))


@dataclass(frozen=True)
class MotionBlur(Degradation):
    """Blur from uniform linear motion during the exposure, computed as the mean along a line; edges are mirrored.

    Source: Potmesil & Chakravarty, Modeling motion blur in computer-generated images, SIGGRAPH 1983.

    Attributes:
        length: length in pixels of the line along which pixels are averaged; 0 leaves the image unchanged.
        angle: angle of the line in degrees, counter-clockwise from the horizontal.
    """

    length: float
    angle: float
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.length < 0:
            raise PetlirError(f"the length of a motion blur must be 0 or more, not {self.length}")

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, blurred; `rng` is not used."""
        kernel = line(self.length, self.angle)
        reach = kernel.shape[0] // 2
        padded = np.pad(image.astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
        from scipy.signal import oaconvolve

        return _rounded(oaconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1)))


@dataclass(frozen=True)
class RandomMotionBlur(Degradation):
    """Motion blur with a random length and direction for each image, like blur from camera shake.

    Attributes:
        longest: maximum length in pixels; lengths are drawn uniformly from `shortest` to `longest`, and directions
            uniformly from all angles.
        shortest: minimum length in pixels.
    """

    longest: float
    shortest: float = 3.0
    simulated: ClassVar[str] = "simulated motion blur"

    def __post_init__(self) -> None:
        if not 0 <= self.shortest <= self.longest:
            raise PetlirError(
                f"motion blur: shortest is {self.shortest}, expected 0 to the longest length, {self.longest} pixels"
            )

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, blurred along a line whose length and angle are drawn from `rng`."""
        return MotionBlur(rng.uniform(self.shortest, self.longest), rng.uniform(0, 180)).prepare(image, rng)


@dataclass(frozen=True)
class Resized(Degradation):
    """Bicubic downscaling and upscaling, like MATLAB's `imresize`, to simulate the loss of detail in upscaled images.

    The downscaled image is rounded to 8 bits.

    Attributes:
        ratio: downscaling factor, not necessarily an integer; 1 leaves the image unchanged.
    """

    ratio: float
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.ratio < 1:
            raise PetlirError(f"the resizing ratio must be 1 or more, not {self.ratio}")

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, downscaled and then upscaled to its original size; `rng` is not used."""
        height, width = image.shape[:2]
        enlarged = imresize(imresize(image, 1 / self.ratio), self.ratio)
        return np.ascontiguousarray(enlarged[:height, :width])


def line(length: float, angle: float) -> Array:
    """Return a convolution kernel with sum 1: a line through the centre of a square with an odd side length.

    The weight of each point of the line is distributed bilinearly over the four nearest pixels.
    """
    reach = int(np.ceil(length / 2))
    count = 8 * reach + 1
    pixels = np.arange(-reach, reach + 1)[:, None]
    points = length * (np.arange(0.5, count) / count - 0.5)
    rows = 1 - np.abs(pixels + points * np.sin(np.deg2rad(angle)))
    columns = 1 - np.abs(pixels - points * np.cos(np.deg2rad(angle)))
    shares = rows.clip(0) @ columns.clip(0).T
    kernel: Array = shares / shares.sum()
    return kernel


def _rounded(image: Array) -> Image:
    rounded: Image = (image.clip(0, 255) + 0.5).astype(np.uint8)
    return rounded
