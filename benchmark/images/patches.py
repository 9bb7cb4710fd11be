"""Training batches of random crops of image pairs; a batch depends only on seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark.degradation import Degradation, Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.crops import Crop, cut_from

Pair = tuple[Image, Image]
"""A degraded image and the clean image, which is `scale` times larger."""


class Sampler(Protocol):
    """A source of training batches, each of which depends only on its step."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return degraded N×3×P×P and clean N×3×sP×sP crops; the same `step` always returns the same crops."""


class PatchSampler:
    """A sampler of aligned crops; a batch depends only on seed and step, so an interrupted run can be resumed exactly.

    Args:
        pairs: pairs of a degraded and a clean image; degraded images do not contain the noise that `perturb` adds.
        scale: upscaling factor of the clean images.
        patch: side length of a degraded crop in pixels.
        batch_size: crops per batch.
        perturb: degradation that adds fresh noise to the degraded crops; if None, no noise is added.
        seed: seed of crops, flips, rotations and noise.
        device: device of the batches; the images are kept in its memory if they fit.

    Raises:
        PetlirError: there are no images, or an image is smaller than a crop.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        scale: int,
        patch: int,
        batch_size: int,
        perturb: Degradation | None,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._sizes = [degraded.shape[:2] for degraded, _ in pairs]
        small = [size for size in self._sizes if min(size) < patch]
        if not pairs or small:
            found = f"has an image of {small[0][0]}×{small[0][1]}" if small else "is empty"
            raise PetlirError(f"training crops are {patch}×{patch}, but the training set {found}")
        self._scale, self._patch, self._device = scale, patch, torch.device(device)
        self._batch_size, self._perturb, self._seed = batch_size, perturb, seed
        self._clean = cut_from([clean for _, clean in pairs], self._device)
        same = all(degraded is clean for degraded, clean in pairs)
        self._degraded = self._clean if same else cut_from([degraded for degraded, _ in pairs], self._device)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of `step`: degraded N×3×P×P and clean N×3×sP×sP, float32, on the device.

        The values of clean crops are in [0, 1], and so are the values of degraded crops unless noisy images are
        stored as floats that are not clipped.
        """
        rng = np.random.default_rng([self._seed, step])
        crops = [self._crop(rng) for _ in range(self._batch_size)]
        clean = _as_floats(self._clean([crop.scaled(self._scale) for crop in crops], self._patch * self._scale))
        degraded = clean
        if self._degraded is not self._clean:
            degraded = _as_floats(self._degraded(crops, self._patch))
        if self._perturb is not None:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))  # noise is equal on all devices
            degraded = self._perturb.perturb_crops(degraded, generator)
        return degraded, clean

    def _crop(self, rng: np.random.Generator) -> Crop:
        image = int(rng.integers(len(self._sizes)))
        top, left = (int(rng.integers(side - self._patch + 1)) for side in self._sizes[image])
        return Crop(image, top, left, int(rng.integers(4)), bool(rng.integers(2)))


class MixedSampler:
    """A sampler that draws each crop from one of several samplers, with equal probability.

    Args:
        samplers: samplers with the same crop size, scale and batch size.
        seed: seed of the choice of samplers, which depends only on this seed and the step.
    """

    def __init__(self, samplers: Sequence[Sampler], seed: int) -> None:
        self._samplers, self._seed = samplers, seed

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of `step`."""
        batches = [sampler.batch(step) for sampler in self._samplers]
        size = len(batches[0][0])
        chosen = np.random.default_rng([self._seed, step]).integers(len(batches), size=size)
        degraded, clean = (
            torch.stack([batches[part][side][row] for row, part in enumerate(chosen)]) for side in range(2)
        )
        return degraded, clean


def _as_floats(crops: Tensor) -> Tensor:
    """Convert N×3×S×S uint8 crops to float32 in [0, 1]."""
    return crops.float().div_(255)
