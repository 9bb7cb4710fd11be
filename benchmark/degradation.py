"""The interface of a degradation, which maps a clean image to a degraded image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.errors import PetlirError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Image = NDArray[np.uint8]
"""One image, H×W×3, RGB, 0..255."""
Degraded = NDArray[np.uint8] | NDArray[np.float32]
"""One degraded image, H×W×3, RGB, on the scale 0..255: uint8, or float32 if noise is stored unrounded."""
KEPT = ("rounded", "truncated", "float")
"""Storage formats of noisy images: `rounded` and `truncated` images have 8 bits; `float` images are not clipped."""


class Degradation:
    """A degradation that is split into two steps, so that training can draw fresh noise for each crop.

    `prepare` acts on a whole 8-bit image, for degradations in which a pixel depends on its neighbours, such as
    resizing, compression or rain. `perturb` acts on a batch of crops, e.g. to add noise. Each subclass of `Degradation`
    is a frozen dataclass whose fields are the parameters of the degradation. A subclass overrides `prepare` or
    `perturb`; a subclass that overrides both methods also overrides `whole`.
    """

    source: ClassVar[str] = ""

    @property
    def simulated(self) -> str:
        """A note for result tables if the degradation only simulates a camera or the weather; otherwise empty."""
        return ""

    @property
    def factor(self) -> int:
        """The downscaling factor of the degraded image."""
        return 1

    @property
    def whole(self) -> bool:
        """True if the degradation overrides `prepare`, which needs the whole image."""
        return type(self).prepare is not Degradation.prepare

    @property
    def random(self) -> bool:
        """True if `prepare` draws random numbers; training images are then degraded again for each seed."""
        return self.whole

    @property
    def kept(self) -> str:
        """The storage format of degraded images, one of `KEPT`."""
        return "rounded"

    @property
    def crops_kept(self) -> str:
        """The storage format of training crops; in the format `rounded`, training crops are clipped but not rounded.

        Rounding the crops would only add noise with a variance of 1/12 on the scale 0..255.
        """
        return self.kept

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Apply the part of the degradation that needs the whole H×W×3 uint8 image, and return the result."""
        return image

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Perturb an N×3×H×W batch in [0, 1], e.g. by noise drawn from `generator`; the result is not clipped."""
        return batch

    def perturb_crops(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Perturb prepared N×3×H×W training crops in [0, 1], and convert them to the storage format `crops_kept`."""
        noisy = self.perturb(batch, generator)
        match self.crops_kept:
            case "float":
                return noisy
            case "truncated":
                return truncated(noisy * 255) / 255
            case _:
                return noisy.clamp(0, 1)

    def degrade(self, image: Image, seed: int) -> Degraded:
        """Degrade one 8-bit image: prepare, perturb, and convert it to the storage format `kept`."""
        return self.perturbed(self.prepare(image, np.random.default_rng(seed)), seed)

    def perturbed(self, prepared: Image, seed: int) -> Degraded:
        """Perturb one prepared image and convert it to the storage format `kept`."""
        import torch  # deferred, so that tasks can be listed without it

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
    """A sequence of degradations, e.g. downscaling followed by noise."""

    steps: tuple[Degradation, ...]

    def __post_init__(self) -> None:
        prepares = [step.whole for step in self.steps]
        if prepares != sorted(prepares, reverse=True):
            raise PetlirError("a chain of degradations must apply its whole-image steps before it adds noise")

    @property
    def simulated(self) -> str:
        """The `simulated` notes of all steps, separated by commas."""
        return ", ".join(step.simulated for step in self.steps if step.simulated)

    @property
    def factor(self) -> int:
        """The downscaling factor of the whole chain: the product of the factors of its steps."""
        product = 1
        for step in self.steps:
            product *= step.factor
        return product

    @property
    def whole(self) -> bool:
        """True if any step needs the whole image."""
        return any(step.whole for step in self.steps)

    @property
    def random(self) -> bool:
        """True if the `prepare` method of any step draws random numbers."""
        return any(step.random for step in self.steps)

    @property
    def kept(self) -> str:
        """The storage format of degraded images, as defined by the last step."""
        return self.steps[-1].kept

    @property
    def crops_kept(self) -> str:
        """The storage format of training crops, as defined by the last step."""
        return self.steps[-1].crops_kept

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Call the `prepare` methods of all steps in order."""
        for step in self.steps:
            image = step.prepare(image, rng)
        return image

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Call the `perturb` methods of all steps in order."""
        for step in self.steps:
            batch = step.perturb(batch, generator)
        return batch


def truncated(values: Tensor) -> Tensor:
    """Clip values to 0..255 and truncate them to integers, which are on average 0.5 lower than rounded values."""
    return values.clamp(0, 255).floor()


def rounded(values: Degraded) -> Image:
    """Clip values to 0..255 and round them, as an image file stores them."""
    whole = values if values.dtype == np.uint8 else np.rint(values.clip(0, 255))
    image: Image = whole.astype(np.uint8, copy=False)
    return image


def seed_of(*parts: str | int) -> int:
    """Return a seed derived from names (task, set, file), so that the order of images does not matter."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
