"""The contract of a degradation: what turns a clean image into the one to be restored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from petlir.benchmark.errors import PetlirError

Image = NDArray[np.uint8]
"""One image, H×W×3, 0..255, RGB."""
Degraded = NDArray[np.uint8] | NDArray[np.float32]
"""One image to be restored, H×W×3, RGB, on the scale 0..255: 8 bit or, where noise is kept as it is, float32."""
KEPT = ("rounded", "truncated", "float")
"""How an image is kept after its noise: clipped and rounded or truncated to 8 bit, or as it is, beyond 0..255 too."""


class Degradation:
    """A degradation in two steps, so that training can draw fresh noise for each crop.

    `prepare` acts on a whole 8-bit image (resizing, compression, rain: what needs its surroundings);
    `perturb` acts on a batch of crops (noise: what does not). A subclass is a frozen dataclass whose fields are
    the parameters of the degradation; it overrides one of the two, or says in `whole` which of them acts.
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

    @property
    def whole(self) -> bool:
        """Whether `prepare` acts, and needs the whole image."""
        return type(self).prepare is not Degradation.prepare

    @property
    def random(self) -> bool:
        """Whether `prepare` draws random numbers; training images are then drawn anew for each seed."""
        return self.whole

    @property
    def kept(self) -> str:
        """How a degraded image is kept, one of `KEPT`."""
        return "rounded"

    @property
    def crops_kept(self) -> str:
        """How training crops are kept; rounded ones are clipped only, as rounding adds 1/12 to a variance of 900."""
        return self.kept

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """The whole image, H×W×3 uint8, degraded up to the noise."""
        return image

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """A batch N×3×H×W in [0, 1] with noise drawn from `generator`; not clipped."""
        return batch

    def perturb_crops(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Prepared training crops N×3×H×W in [0, 1] as the network sees them: perturbed, and kept as crops are."""
        noisy = self.perturb(batch, generator)
        match self.crops_kept:
            case "float":
                return noisy
            case "truncated":
                return truncated(noisy * 255) / 255
            case _:
                return noisy.clamp(0, 1)

    def degrade(self, image: Image, seed: int) -> Degraded:
        """One 8-bit image as it is to be restored: prepared, perturbed, and kept as `kept` says."""
        return self.perturbed(self.prepare(image, np.random.default_rng(seed)), seed)

    def perturbed(self, prepared: Image, seed: int) -> Degraded:
        """One prepared image as it is to be restored."""
        batch = torch.from_numpy(np.array(prepared)).permute(2, 0, 1)[None].float() / 255
        noisy = self.perturb(batch, torch.Generator().manual_seed(seed))[0].permute(1, 2, 0) * 255
        match self.kept:
            case "float":
                values: Degraded = noisy.contiguous().numpy()
            case "truncated":
                values = truncated(noisy).to(torch.uint8).numpy()
            case _:
                values = rounded(noisy.numpy())
        return values


@dataclass(frozen=True)
class Chain(Degradation):
    """Degradations one after the other, e.g. shrink, then add noise."""

    steps: tuple[Degradation, ...]

    def __post_init__(self) -> None:
        prepares = [step.whole for step in self.steps]
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

    @property
    def whole(self) -> bool:
        """Whether any step needs the whole image."""
        return any(step.whole for step in self.steps)

    @property
    def random(self) -> bool:
        """Whether any step draws random numbers for the whole image."""
        return any(step.random for step in self.steps)

    @property
    def kept(self) -> str:
        """As the last step keeps it."""
        return self.steps[-1].kept

    @property
    def crops_kept(self) -> str:
        """As the last step keeps them."""
        return self.steps[-1].crops_kept

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


def truncated(values: Tensor) -> Tensor:
    """Values clipped to 0..255, their fractions cut off: on average 0.5 darker than rounded ones."""
    return values.clamp(0, 255).floor()


def rounded(values: Degraded) -> Image:
    """Values clipped to 0..255 and rounded, as an image file holds them."""
    whole = values if values.dtype == np.uint8 else np.rint(values.clip(0, 255))
    image: Image = whole.astype(np.uint8, copy=False)
    return image


def seed_of(*parts: str | int) -> int:
    """A seed that is a function of names (task, set, file), so that no image depends on another having run."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
