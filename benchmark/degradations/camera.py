"""Simulated camera noise: photon and electronic noise on a raw mosaic, followed by camera processing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Degradation, Image

Array: TypeAlias = NDArray[np.float64]

GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
OTHER = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
"""The kernels that interpolate a Bayer mosaic bilinearly: one for green, one for red and blue."""


@dataclass(frozen=True)
class CameraNoise(Degradation):
    """Signal-dependent, spatially correlated noise, as it occurs in demosaicked images.

    The image is converted to linear light, and its white balance is removed. Noise of variance shot·signal + read is
    sampled on an RGGB mosaic, interpolated bilinearly and added to the image, which is then converted back to sRGB. The
    signal itself is not mosaicked, because the clean image has already been demosaicked.

    Source: Foi et al., Practical Poissonian-Gaussian noise modeling and fitting, TIP 2008; noise levels and
    white-balance gains from Brooks et al., Unprocessing images for learned raw denoising, CVPR 2019.

    Attributes:
        shot: lowest and highest value of the photon-noise coefficient `shot` in the noise variance; a value is drawn
            log-uniformly for each image.
    """

    shot: tuple[float, float] = (1e-3, 1.2e-2)
    simulated: ClassVar[str] = "simulated camera noise"

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, with noise whose level and values are drawn from `rng`."""
        gains = np.array([rng.uniform(1.9, 2.4), 1.0, rng.uniform(1.5, 1.9)])
        shot = np.exp(rng.uniform(*np.log(self.shot)))
        read = np.exp(2.18 * np.log(shot) + 1.2 + rng.normal(0, 0.26))
        raw = _linear(image / 255) / gains
        noise = rng.normal(size=raw.shape) * np.sqrt(shot * raw + read)
        noisy = ((raw + _demosaicked(noise)) * gains).clip(0, 1)
        rounded: Image = (_encoded(noisy) * 255 + 0.5).astype(np.uint8)
        return rounded


def _demosaicked(noise: Array) -> Array:
    """Sample H×W×3 noise on an RGGB mosaic, and interpolate the samples bilinearly to H×W×3."""
    from scipy.ndimage import convolve

    rows, columns = np.indices(noise.shape[:2]) % 2
    kept = (rows + columns == 0, rows != columns, rows + columns == 2)
    kernels = (OTHER, GREEN, OTHER)
    channels = zip(np.moveaxis(noise, -1, 0), kept, kernels, strict=True)
    return np.stack([convolve(plane * mask, kernel, mode="mirror") for plane, mask, kernel in channels], -1)


def _linear(encoded: Array) -> Array:
    """Convert sRGB values in 0..1 to linear light (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _encoded(linear: Array) -> Array:
    """Convert linear light in 0..1 to sRGB values."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
