"""Simulated low light: darkening, as in a short exposure, with photon and read noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from petlir.benchmark.degradation import Degradation, Image


@dataclass(frozen=True)
class LowLight(Degradation):
    """Darkening β·(α·x)^γ followed by Poisson-Gaussian noise; all parameters but `read` are drawn for each image.

    Source: Lv et al., MBLLEN, BMVC 2018, for the darkening (α in 0.9..1, β in 0.5..1, γ in 1.5..5); Wei et al., A
    physics-based noise formation model for extreme low-light raw denoising, CVPR 2020, for the photon and read noise. β
    and γ are drawn from lower ranges than in MBLLEN, so that the mean brightness is a few per cent of white, as in
    LOL's dark images (Wei et al., BMVC 2018), and no image becomes black.

    Attributes:
        gamma: lowest and highest value of the exponent γ.
        peak: lowest and highest number of photons at white; the shot noise has variance signal/peak.
        read: standard deviation of the read noise, on the scale 0..1.
    """

    gamma: tuple[float, float] = (1.5, 2.2)
    peak: tuple[float, float] = (150.0, 600.0)
    read: float = 0.004
    simulated: ClassVar[str] = "simulated low light"

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, darkened and with noise; exposure and noise are drawn from `rng`."""
        alpha, beta = rng.uniform(0.9, 1), rng.uniform(0.2, 0.5)
        gamma, peak = rng.uniform(*self.gamma), rng.uniform(*self.peak)
        dark = beta * (alpha * image / 255) ** gamma
        noisy = rng.poisson(dark * peak) / peak + rng.normal(0, self.read, image.shape)
        rounded: Image = (noisy * 255 + 0.5).clip(0, 255).astype(np.uint8)
        return rounded
