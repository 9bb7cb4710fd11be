"""Routing: how much of each of several experts an image gets, by what its degradation resembles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.errors import PetlirError

if TYPE_CHECKING:
    from petlir.benchmark.backbone import Backbone

CLIP = "openai/clip-vit-base-patch32"
"""The image encoder, by its name in Hugging Face's cache."""
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP_SIDE, CLIP_WIDTH = 224, 512


class Describe(Protocol):
    """What an image's degradation looks like, as a vector of D numbers."""

    def width(self, backbone: Backbone) -> int:
        """D."""

    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Images N×3×H×W in [0, 1] as N×D."""


@dataclass(frozen=True)
class BlockStatistics:
    """Means and standard deviations over places of each channel behind the last block.

    Attributes:
        head: the head that images enter by, whatever head restores them.
    """

    head: str

    def width(self, backbone: Backbone) -> int:
        """Two numbers a channel."""
        *_, last = backbone.blocks()
        return 2 * last.width

    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """The images' statistics, one pass through the backbone."""
        *_, last = backbone.blocks()
        seen: list[Tensor] = []
        hook = last.site.module.register_forward_hook(lambda module, inputs, output: seen.append(output))
        try:
            backbone.forward(images, self.head)  # without the backbone's own hooks: one of them may have called this
        finally:
            hook.remove()
        deviation, mean = torch.std_mean(last.layout.to_map(seen[0]), (2, 3))
        return torch.cat([mean, deviation], 1)


@dataclass(frozen=True)
class ClipEmbedding:
    """The embedding of images by CLIP (Radford et al., ICML 2021), each enlarged or shrunk to 224×224.

    The encoder is loaded when it is first needed. It is the same for every task, so it counts neither as a part of
    the backbone nor as stored.
    """

    def width(self, backbone: Backbone) -> int:
        """Of CLIP's shared space."""
        return CLIP_WIDTH

    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """The images' embeddings.

        Raises:
            PetlirError: the encoder is not at hand.
        """
        square = functional.interpolate(images, (CLIP_SIDE, CLIP_SIDE), mode="bicubic", antialias=True).clamp(0, 1)
        mean, deviation = (images.new_tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        embedded: Tensor = self._encoder.to(images.device)(pixel_values=(square - mean) / deviation).image_embeds
        return embedded

    @cached_property
    def _encoder(self) -> Any:
        try:
            from transformers import CLIPVisionModelWithProjection
        except ImportError as error:
            raise PetlirError("routing by CLIP needs the package transformers, which is not installed") from error
        try:
            return CLIPVisionModelWithProjection.from_pretrained(CLIP, local_files_only=True).requires_grad_(False)
        except OSError as error:
            raise PetlirError(
                f"routing by CLIP needs the weights of {CLIP} in Hugging Face's cache; none are"
            ) from error


class Router(nn.Module):
    """Weights of K experts for each image: a softmax over those whose prototypes its description resembles most.

    Similar means a high cosine, both sides centred on the mean of the prototypes. Every image of a batch is routed by
    itself, and so is every window where an image goes through the network in windows.

    Args:
        describe: what of an image is compared.
        prototypes: the mean description of each expert's degradation, K×D; stored with the experts.
        top: how many experts share an image.
        temperature: what similarities are divided by before the softmax; towards 0 the most similar takes all.
    """

    def __init__(self, describe: Describe, prototypes: Tensor, top: int, temperature: float) -> None:
        super().__init__()
        self.describe, self.top, self.temperature = describe, top, temperature
        self.prototypes = nn.Buffer(prototypes)

    @torch.no_grad()
    def study(self, backbone: Backbone, known: Iterable[Iterable[Tensor]]) -> None:
        """Take the prototypes from batches N×3×H×W of each expert's degradation; the backbone must be frozen."""
        for prototype, batches in zip(self.prototypes, known, strict=True):
            prototype.copy_(torch.cat([self.describe(backbone, batch) for batch in batches]).mean(0))

    @torch.no_grad()
    def forward(self, backbone: Backbone, images: Tensor) -> Tensor:
        """The weights of images N×3×H×W, N×K; each row is non-negative and sums to 1."""
        centre = self.prototypes.mean(0)
        described = self.describe(backbone, images) - centre
        similarities = functional.cosine_similarity(described[:, None], self.prototypes - centre, dim=-1)
        return share(similarities, self.top, self.temperature)


def share(similarities: Tensor, top: int, temperature: float) -> Tensor:
    """The weights N×K for similarities N×K: a softmax at `temperature` over the `top` of each row, else 0."""
    highest, places = similarities.topk(min(top, similarities.shape[1]))
    return torch.zeros_like(similarities).scatter(1, places, ((highest - highest[:, :1]) / temperature).softmax(1))
