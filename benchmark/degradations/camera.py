"""Simulated camera noise: photons and electronics on a raw mosaic, then the camera's own processing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from petlir.benchmark.degradation import Degradation, Image

Array: TypeAlias = NDArray[np.float64]

GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
OTHER = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
"""Bilinear interpolation of the channels of a Bayer mosaic."""


@dataclass(frozen=True)
class CameraNoise(Degradation):
    """Noise whose strength depends on the signal and which is correlated in space, as demosaicing leaves it.

    The image goes back to linear light and to the sensor's white balance, gets noise of variance
    shot·signal + read on an RGGB mosaic, which is interpolated bilinearly, and comes forward again. The
    signal itself is not mosaicked: the clean image has been through that already.

    Source: Foi et al., Practical Poissonian-Gaussian noise modeling and fitting, TIP 2008; levels and white
    balance of Brooks et al., Unprocessing images for learned raw denoising, CVPR 2019.

    Attributes:
        shot: lowest and highest shot noise, drawn evenly in its logarithm.
    """

    shot: tuple[float, float] = (1e-3, 1.2e-2)
    simulated: ClassVar[str] = "simulated camera noise"

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """The whole image, H×W×3 uint8, with noise whose level is the image's own; all drawn from `rng`."""
        gains = np.array([rng.uniform(1.9, 2.4), 1.0, rng.uniform(1.5, 1.9)])
        shot = np.exp(rng.uniform(*np.log(self.shot)))
        read = np.exp(2.18 * np.log(shot) + 1.2 + rng.normal(0, 0.26))
        raw = _linear(image / 255) / gains
        noise = rng.normal(size=raw.shape) * np.sqrt(shot * raw + read)
        noisy = ((raw + _demosaicked(noise)) * gains).clip(0, 1)
        rounded: Image = (_encoded(noisy) * 255 + 0.5).astype(np.uint8)
        return rounded


def _demosaicked(noise: Array) -> Array:
    """What bilinear demosaicing makes of the values that an RGGB mosaic keeps, H×W×3."""
    rows, columns = np.indices(noise.shape[:2]) % 2
    kept = (rows + columns == 0, rows != columns, rows + columns == 2)
    kernels = (OTHER, GREEN, OTHER)
    channels = zip(np.moveaxis(noise, -1, 0), kept, kernels, strict=True)
    return np.stack([convolve(plane * mask, kernel, mode="mirror") for plane, mask, kernel in channels], -1)


def _linear(encoded: Array) -> Array:
    """Linear light of sRGB values in 0..1 (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _encoded(linear: Array) -> Array:
    """The sRGB values of linear light in 0..1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
