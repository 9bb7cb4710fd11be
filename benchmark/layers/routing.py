"""Routing of images to experts by the similarity of an image's degradation to the degradation of each expert."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.errors import PetlirError

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

    from petlir.benchmark.backbone import Backbone

CLIP = "openai/clip-vit-base-patch32"
"""The name of the image encoder in Hugging Face's cache."""
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP_SIDE, CLIP_WIDTH = 224, 512
LARGEST_SIDE = 512
"""The side length of the central crop that represents a larger image, for networks that accept any image size."""


class Describe(Protocol):
    """A description of an image's degradation as a vector of D numbers."""

    def width(self, backbone: Backbone) -> int:
        """Return D, the length of a description."""

    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return the N×D descriptions of N×3×H×W images in [0, 1]."""


@dataclass(frozen=True)
class BlockStatistics:
    """Spatial means and standard deviations of each channel after the last block, over all windows of an image.

    Attributes:
        head: the head through which images enter, independent of the head that restores them.
    """

    head: str

    def width(self, backbone: Backbone) -> int:
        """Return D, twice the number of channels of the last block."""
        *_, last = backbone.blocks()
        return 2 * last.width

    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return the images' statistics, from one pass through the backbone."""
        *_, last = backbone.blocks()
        crops = _windows(images, backbone.window) if backbone.window else _centre(images)
        seen: list[Tensor] = []
        hook = last.site.module.register_forward_hook(lambda module, inputs, output: seen.append(output))
        try:
            backbone.forward(crops, self.head)  # bypasses the backbone's own hooks: one of them may have called this
        finally:
            hook.remove()
        maps = last.layout.to_map(seen[0])
        maps = maps.view(len(images), -1, *maps.shape[1:])
        deviation, mean = torch.std_mean(maps, (1, 3, 4))
        return torch.cat([mean, deviation], 1)


def _windows(images: Tensor, side: int) -> Tensor:
    """Cut images into windows that cover them, ordered by image; images smaller than a window are padded."""
    down, right = (max(0, side - length) for length in images.shape[-2:])
    padded = functional.pad(images, (0, right, 0, down), mode="replicate")
    rows, columns = (
        [round(place * (length - side) / max(1, -(-length // side) - 1)) for place in range(-(-length // side))]
        for length in padded.shape[-2:]
    )
    crops = [padded[..., top : top + side, left : left + side] for top in rows for left in columns]
    return torch.stack(crops, 1).flatten(0, 1)


def _centre(images: Tensor) -> Tensor:
    top, left = (max(0, length - LARGEST_SIDE) // 2 for length in images.shape[-2:])
    return images[..., top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]


@dataclass(frozen=True)
class ClipEmbedding:
    """CLIP embeddings of images (Radford et al., ICML 2021), each resized to 224×224.

    The encoder is loaded on first use. All tasks share the encoder, so its parameters count neither as part of the
    backbone nor as stored for a task.
    """

    def width(self, backbone: Backbone) -> int:
        """Return D, the dimension of CLIP's joint embedding space."""
        return CLIP_WIDTH

    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return the images' embeddings.

        Raises:
            PetlirError: the encoder is not available.
        """
        square = functional.interpolate(images, (CLIP_SIDE, CLIP_SIDE), mode="bicubic", antialias=True).clamp(0, 1)
        mean, deviation = (images.new_tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        embedded: Tensor = self._encoder.to(images.device)(pixel_values=(square - mean) / deviation).image_embeds
        return embedded

    @cached_property
    def _encoder(self) -> CLIPVisionModelWithProjection:
        try:
            from transformers import CLIPVisionModelWithProjection
        except ImportError as error:
            raise PetlirError("routing by CLIP needs the package transformers, which is not installed") from error
        try:
            return CLIPVisionModelWithProjection.from_pretrained(CLIP, local_files_only=True).requires_grad_(False)
        except OSError as error:
            raise PetlirError(
                f"routing by CLIP needs the weights of {CLIP} in Hugging Face's cache, which does not contain them"
            ) from error


class Router(nn.Module):
    """Weights of K experts for each image: a softmax over the experts with the most similar prototypes.

    An expert's similarity is the cosine between its prototype and the description of the image, after subtracting the
    mean of the prototypes from both vectors. Each image of a batch is routed separately.

    Args:
        describe: computes the description of an image.
        prototypes: mean description of each expert's degradation and, last, of clean images, (K+1)×D.
        top: number of experts per image.
        temperature: divisor of the similarities before the softmax; the lower it is, the more the best expert
            dominates.
    """

    def __init__(self, describe: Describe, prototypes: Tensor, top: int, temperature: float) -> None:
        super().__init__()
        self.describe, self.top, self.temperature = describe, top, temperature
        self.prototypes = nn.Buffer(prototypes)

    @torch.no_grad()
    def study(self, backbone: Backbone, known: Iterable[Iterable[Tensor]]) -> None:
        """Compute the prototypes from N×3×H×W batches of each degradation and, last, of clean images."""
        for prototype, batches in zip(self.prototypes, known, strict=True):
            prototype.copy_(torch.cat([self.describe(backbone, batch) for batch in batches]).mean(0))

    @torch.no_grad()
    def forward(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return N×K weights for N×3×H×W images; 1 minus the sum of a row is the frozen network's weight."""
        centre = self.prototypes.mean(0)
        described = self.describe(backbone, images) - centre
        similarities = functional.cosine_similarity(described[:, None], self.prototypes - centre, dim=-1)
        return share(similarities, self.top, self.temperature)[:, :-1]


def share(similarities: Tensor, top: int, temperature: float) -> Tensor:
    """Return N×K weights for N×K similarities: a softmax over the `top` highest of each row, 0 elsewhere."""
    highest, places = similarities.topk(min(top, similarities.shape[1]))
    return torch.zeros_like(similarities).scatter(1, places, ((highest - highest[:, :1]) / temperature).softmax(1))
