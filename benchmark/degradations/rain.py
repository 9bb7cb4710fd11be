"""Synthetic rain streaks, tuned to resemble the Rain100L and Rain100H test sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Degradation, Image
from petlir.benchmark.errors import unknown

Array: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Streaks:
    """Parameter ranges for rain of one strength, from which values are drawn for each image.

    Attributes:
        layers: lowest and highest number of superimposed layers of streaks.
        coverage: lowest and highest fraction of the image that the drops of a layer would cover if they did not
            overlap.
        brightness: range of the maximum value that a layer adds to a pixel, on the scale 0..255.
        tilt: standard deviation in degrees of the layers' directions around the direction that is drawn for the image.
    """

    layers: tuple[int, int]
    coverage: tuple[float, float]
    brightness: tuple[float, float]
    tilt: float


STRENGTHS = {
    "light": Streaks((1, 1), (0.025, 0.13), (55, 130), 0),
    "heavy": Streaks((2, 4), (0.14, 0.46), (65, 125), 8),
}


@dataclass(frozen=True)
class RainStreaks(Degradation):
    """Grey rain streaks, added to the image with clipping: sparse drops, each blurred along its direction of fall.

    Source: the additive model of Yang et al., Deep joint rain detection and removal, CVPR 2017; drops as
    motion-blurred lines after Garg & Nayar, Photorealistic rendering of rain streaks, SIGGRAPH 2006.

    Attributes:
        strength: `light` (one layer; about 26.9 dB PSNR, as in Rain100L) or `heavy` (several layers; about 13.6 dB, as
            in Rain100H).
    """

    strength: str
    simulated: ClassVar[str] = "synthetic streaks"

    def __post_init__(self) -> None:
        if self.strength not in STRENGTHS:
            raise unknown("strength of rain", self.strength, STRENGTHS)

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, with rain streaks that are drawn from `rng`."""
        streaks = STRENGTHS[self.strength]
        slant = rng.normal(0, 15)
        rain = np.zeros(image.shape[:2], np.float32)
        for _ in range(rng.integers(*streaks.layers, endpoint=True)):
            angle = np.deg2rad(slant + rng.normal() * streaks.tilt)
            fall = _fall(rng, rain.shape, angle, rng.uniform(*streaks.coverage))
            rain += fall * np.float32(rng.uniform(*streaks.brightness))
        rainy: Image = (image + rain[..., None] + 0.5).clip(0, 255).astype(np.uint8)
        return rainy


def _fall(rng: np.random.Generator, shape: tuple[int, ...], angle: float, coverage: float) -> Array:
    """Draw one rain layer, H×W in 0..1: drops of equal length and width that fall at `angle` radians from vertical."""
    length, width = rng.uniform(12, 45), rng.uniform(0.5, 1.3)
    streak = _streak(length, width, angle)
    margin = streak.shape[0] // 2
    drops = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.float32)
    count = rng.poisson(coverage * drops.size / streak.sum())
    places = rng.integers(0, drops.size, count)
    drops.flat[places] = rng.uniform(0.2, 1.2, count)
    from scipy.signal import oaconvolve

    layer: Array = oaconvolve(drops, streak, mode="valid").clip(0, 1)
    return layer


def _streak(length: float, width: float, angle: float) -> Array:
    """Return an image of a drop's streak, centred in a square with an odd side length; the maximum is 1.

    The streak is `length` pixels long; its cross-section is a Gaussian with standard deviation `width`.
    """
    reach = int(np.ceil(length / 2 + 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    along = y * np.cos(angle) + x * np.sin(angle)
    across = x * np.cos(angle) - y * np.sin(angle)
    ends = (length / 2 + 0.5 - np.abs(along)).clip(0, 1)
    streak: Array = (ends * np.exp(-0.5 * (across / width) ** 2)).astype(np.float32)
    return streak
