"""Additive white Gaussian noise, as in the denoising literature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petlir.benchmark.degradation import KEPT, Degradation
from petlir.benchmark.errors import unknown

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class GaussianNoise(Degradation):
    """Independent Gaussian noise on each channel of each pixel.

    Source: Zhang et al., Beyond a Gaussian denoiser (DnCNN), TIP 2017. Papers store noisy images in different formats:
    rounded to 8 bits (PromptIR), as floats (Restormer, and AdaptIR in its denoising tests), or truncated to 8 bits
    (AdaptIR in its training, and in its tests of ×4 super-resolution with noise).

    Attributes:
        sigma: standard deviation on the scale 0..255.
        kept: storage format of noisy images, one of `petlir.benchmark.degradation.KEPT`.
        trained_on: storage format of training crops; if None, training crops are stored in the format `kept`.
    """

    sigma: float
    kept: str = "rounded"
    trained_on: str | None = None

    def __post_init__(self) -> None:
        for way in (self.kept, self.crops_kept):
            if way not in KEPT:
                raise unknown("storage format of noisy images", way, KEPT)

    @property
    def crops_kept(self) -> str:
        """The storage format of training crops."""
        return self.trained_on or self.kept

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Add noise, drawn on the generator's device, to an N×3×H×W batch in [0, 1]; the result is not clipped."""
        import torch

        noise = torch.randn(batch.shape, generator=generator, dtype=batch.dtype, device=generator.device)
        return batch + noise.to(batch.device) * (self.sigma / 255)
