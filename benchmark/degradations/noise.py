"""Additive white Gaussian noise, the denoising task of the literature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.degradation import Degradation


@dataclass(frozen=True)
class GaussianNoise(Degradation):
    """Independent Gaussian noise on each channel of each pixel.

    Source: Zhang et al., Beyond a Gaussian denoiser (DnCNN), TIP 2017.

    Attributes:
        sigma: standard deviation on the scale 0..255.
    """

    sigma: float

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """A batch N×3×H×W in [0, 1] with noise added; not clipped."""
        noise = torch.randn(batch.shape, generator=generator, dtype=batch.dtype)
        return batch + noise * (self.sigma / 255)
