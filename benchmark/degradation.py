"""The contract of a degradation: what turns a clean image into the one to be restored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import PetlirError

Image = NDArray[np.uint8]
"""One image, H×W×3, 0..255, RGB."""


class Degradation:
    """A degradation in two steps, so that training can draw fresh noise for each crop.

    `prepare` acts on a whole 8-bit image (resizing, compression, rain: what needs its surroundings);
    `perturb` acts on a batch of crops (noise: what does not). A subclass is a frozen dataclass whose fields are
    the parameters of the degradation; it overrides one of the two.
    """

    source: ClassVar[str] = ""

    @property
    def simulated(self) -> str:
        """What the column says where it only imitates a camera or the weather; empty where it is exact."""
        return ""

    @property
    def factor(self) -> int:
        """How many times smaller the degraded image is."""
        return 1

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """The whole image, H×W×3 uint8, degraded up to the noise."""
        return image

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """A batch N×3×H×W in [0, 1] with noise drawn from `generator`; not clipped."""
        return batch

    def degrade(self, image: Image, seed: int) -> Image:
        """One 8-bit image as a file would hold it: prepared, perturbed, clipped and rounded."""
        prepared = self.prepare(image, np.random.default_rng(seed))
        batch = torch.from_numpy(np.ascontiguousarray(prepared)).permute(2, 0, 1)[None].float() / 255
        noisy = self.perturb(batch, torch.Generator().manual_seed(seed))[0].permute(1, 2, 0)
        rounded: Image = (noisy.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        return rounded


@dataclass(frozen=True)
class Chain(Degradation):
    """Degradations one after the other, e.g. shrink, then add noise."""

    steps: tuple[Degradation, ...]

    def __post_init__(self) -> None:
        prepares = [type(step).prepare is not Degradation.prepare for step in self.steps]
        if prepares != sorted(prepares, reverse=True):
            raise PetlirError("a chain of degradations must do its whole-image steps before its noise")

    @property
    def simulated(self) -> str:
        """What is imitated, step by step."""
        return ", ".join(step.simulated for step in self.steps if step.simulated)

    @property
    def factor(self) -> int:
        """The product of the steps' factors."""
        product = 1
        for step in self.steps:
            product *= step.factor
        return product

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Every step's `prepare`, in order."""
        for step in self.steps:
            image = step.prepare(image, rng)
        return image

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Every step's `perturb`, in order."""
        for step in self.steps:
            batch = step.perturb(batch, generator)
        return batch


def seed_of(*parts: str | int) -> int:
    """A seed that is a function of names (task, set, file), so that no image depends on another having run."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
