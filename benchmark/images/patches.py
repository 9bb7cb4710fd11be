"""Training batches: random crops of image pairs, a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark.degradation import Degradation, Image
from benchmark.errors import PetlirError

Pair = tuple[Image, Image]
"""A degraded image and its clean one, `scale` times larger."""


class PatchSampler:
    """Draws batches of aligned crops; a batch depends on (seed, step) alone, so a killed run goes on exactly.

    Args:
        pairs: degraded (prepared, without noise) and clean images.
        scale: how many times larger the clean images are.
        patch: side of a crop on the degraded side, in pixels.
        batch_size: crops a batch.
        perturb: whose `perturb` adds fresh noise to the degraded crops; None adds none.
        seed: of crops, flips, rotations and noise.

    Raises:
        PetlirError: an image is smaller than a crop.
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
    ) -> None:
        small = [pair[0].shape[:2] for pair in pairs if min(pair[0].shape[:2]) < patch]
        if not pairs or small:
            found = f"one of {small[0][0]}×{small[0][1]}" if small else "no image"
            raise PetlirError(f"training crops are {patch}×{patch}, but the training set holds {found}")
        self._pairs, self._scale, self._patch = pairs, scale, patch
        self._batch_size, self._perturb, self._seed = batch_size, perturb, seed

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of `step`: degraded N×3×P×P and clean N×3×sP×sP, float32 in [0, 1]."""
        rng = np.random.default_rng([self._seed, step])
        crops = [self._crop(rng) for _ in range(self._batch_size)]
        degraded, clean = (_as_batch([crop[side] for crop in crops]) for side in (0, 1))
        if self._perturb is not None:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            degraded = self._perturb.perturb(degraded, generator).clamp(0, 1)
        return degraded, clean

    def _crop(self, rng: np.random.Generator) -> Pair:
        degraded, clean = self._pairs[int(rng.integers(len(self._pairs)))]
        top, left = (int(rng.integers(side - self._patch + 1)) for side in degraded.shape[:2])
        turn, flip = int(rng.integers(4)), bool(rng.integers(2))
        return (
            _window(degraded, top, left, self._patch, turn, flip),
            _window(clean, top * self._scale, left * self._scale, self._patch * self._scale, turn, flip),
        )


def _window(image: Image, top: int, left: int, side: int, turn: int, flip: bool) -> Image:
    crop = np.rot90(image[top : top + side, left : left + side], turn)
    return crop[:, ::-1] if flip else crop


def _as_batch(crops: list[Image]) -> Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().div_(255)
