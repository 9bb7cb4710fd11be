"""Modules of UIR-LoRA: projections with several updates, and the selection of updates for an image."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.layers.classifier import ExpertClassifier
from petlir.benchmark.layers.routing import Router
from petlir.methods.lora import LowRank, low_rank

END = -1
"""The value that pads a sequence that does not use every expert."""

Plan = Sequence[tuple[Tensor, str | None]]
"""The passes over an image, each with the N×K or 1×K weights of the experts, and with the output head."""


@dataclass
class Mixture:
    """The N×K weights of the LoRAs for the images of the current pass, or 1×K for all images; if None, no LoRA acts."""

    weights: Tensor | None = None


class Mixed(nn.Module):
    """A frozen projection W with K low-rank updates: W + scale · Σ wₖ · upₖ · downₖ, with weights w for each image.

    Args:
        lora: the projection with a single update; the K updates have the shapes and the scale of this update.
        count: K.
        mixture: holder of the weights of the images in the current pass.
    """

    def __init__(self, lora: LowRank, count: int, mixture: Mixture) -> None:
        super().__init__()
        self.base, self.scale, self.mixture = lora.base, lora.scale, mixture
        self.down = nn.Buffer(lora.base.weight.new_zeros(count, *lora.down.shape))
        self.up = nn.Buffer(lora.base.weight.new_zeros(count, *lora.up.shape))

    def forward(self, features: Tensor) -> Tensor:
        """Return the output in the projection's own layout; the windows of an image must be adjacent in the batch."""
        output: Tensor = self.base(features)
        weights = self.mixture.weights
        if weights is None:
            return output
        rows = weights.to(output).repeat_interleave(len(features) // len(weights), 0)
        update = torch.zeros_like(output)
        for weight, down, up in zip(rows.T, self.down, self.up, strict=True):
            update = update + weight.view(-1, *[1] * (output.ndim - 1)) * low_rank(features, down, up)
        return torch.add(output, update, alpha=self.scale)


class MixedCompanion(nn.Module):
    """A 1×1 convolution of zeros plus K trained convolutions: Σ wₖ · Wₖ, with weights w for each image.

    Args:
        layer: the convolution of zeros, without bias.
        count: K.
        mixture: holder of the weights of the images in the current pass.
    """

    def __init__(self, layer: nn.Module, count: int, mixture: Mixture) -> None:
        super().__init__()
        self.layer, self.mixture = layer, mixture
        weight = layer.get_parameter("weight")
        self.trained = nn.Buffer(weight.new_zeros(count, *weight.shape))

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×C×H×W maps."""
        output: Tensor = self.layer(features)
        if self.mixture.weights is None:
            return output
        rows = self.mixture.weights.to(output).repeat_interleave(len(features) // len(self.mixture.weights), 0)
        for weight, trained in zip(rows.T, self.trained, strict=True):
            output = output + weight.view(-1, 1, 1, 1) * functional.conv2d(features, trained)
        return output


class Fixed(nn.Module):
    """The same weights for every image.

    Args:
        weights: K non-negative weights with a sum of at most 1; the frozen network has the remaining weight.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Buffer(weights)

    def forward(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return the 1×K weights."""
        return self.weights[None]


class ExpertSequence(nn.Module):
    """Experts applied one after another, each with its own head.

    Args:
        heads: the head of each of K experts.
        like: a tensor with the dtype and device of the experts.

    Attributes:
        order: indices of the experts, with K for the frozen network, then -1 as padding; initially K alone.
    """

    def __init__(self, heads: Sequence[str], like: Tensor) -> None:
        super().__init__()
        self.heads = tuple(heads)
        self.members = nn.Buffer(torch.eye(len(heads) + 1, len(heads)).to(like), persistent=False)
        self.order = nn.Buffer(torch.full((len(heads) + 1,), END, device=like.device))
        self.order[0] = len(heads)

    def plan(self, head: str | None) -> Plan:
        """Return a pass for each member of the sequence; the frozen network uses `head`."""
        places = [place for place in self.order.tolist() if place != END]
        return [(self.members[place : place + 1], [*self.heads, head][place]) for place in places]


class Composer(nn.Module):
    """An image router that sets the weights of the LoRAs for the passes over an image and resets them afterwards.

    Args:
        weigh: (backbone, images) → N×K or 1×K weights, or a sequence of experts; no LoRA acts during the call.
        mixture: holder of the weights of the LoRAs.
    """

    def __init__(self, weigh: Router | ExpertClassifier | Fixed | ExpertSequence, mixture: Mixture) -> None:
        super().__init__()
        self.weigh, self.mixture = weigh, mixture
        self._given: Tensor | None = None
        self._holds = False

    def watch(self, backbone: Backbone) -> None:
        """Register hooks for every forward pass; they are bound methods, so a copied backbone uses its own composer."""
        backbone.register_forward_pre_hook(self._enter, with_kwargs=True)
        backbone.register_forward_hook(self._leave, always_call=True)

    @contextmanager
    def given(self, weights: Tensor) -> Iterator[None]:
        """Use these 1×K weights for every image inside the `with` block."""
        self._given = weights
        try:
            yield
        finally:
            self._given = None

    def passes(self, backbone: Backbone, image: Tensor, head: str | None) -> Generator[str | None]:
        """Yield the head used in each pass over a whole image; see `petlir.benchmark.method.ImageRouter`."""
        plan = self._plan(backbone, image, head)
        self._holds = True
        try:
            for self.mixture.weights, at in plan:
                yield at
        finally:
            self._holds, self.mixture.weights = False, None

    def _plan(self, backbone: Backbone, images: Tensor, head: str | None) -> Plan:
        if self._given is not None:
            return [(self._given, head)]
        if isinstance(self.weigh, ExpertSequence):
            return self.weigh.plan(head)
        return [(self.weigh(backbone, images), head)]

    def _enter(self, backbone: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any] | None:
        if self._holds:
            return None
        images, head = (*inputs, *named.values(), None)[:2]
        *earlier, (weights, last) = self._plan(backbone, images, head)
        for self.mixture.weights, at in earlier:
            images = backbone.forward(images, at).clamp(0, 1)
        self.mixture.weights = weights
        return (images, last), {}

    def _leave(self, *_: object) -> None:
        if not self._holds:
            self.mixture.weights = None


def insert(backbone: Backbone, weigh: Router | ExpertClassifier | Fixed | ExpertSequence, count: int) -> Composer:
    """Replace each LoRA of `backbone` by `count` LoRAs of zeros, and add the composer that sets their weights."""
    mixture = Mixture()
    for name, module in list(backbone.named_modules()):
        if isinstance(module, LowRank):
            backbone.set_submodule(name, Mixed(module, count, mixture))
    for site in list(backbone.companions()):
        site.replace(MixedCompanion(site.module, count, mixture))
    composer = Composer(weigh, mixture)
    backbone.add_module("composer", composer)
    return composer


def fill(backbone: Backbone, adapters: Sequence[Mapping[str, Tensor]]) -> None:
    """Copy the trained parameters of each adapter into the modules with the same names."""
    for name, module in backbone.named_modules():
        if isinstance(module, Mixed):
            for index, adapter in enumerate(adapters):
                module.down[index].copy_(adapter[f"{name}.down"])
                module.up[index].copy_(adapter[f"{name}.up"])
        elif isinstance(module, MixedCompanion):
            for index, adapter in enumerate(adapters):
                module.trained[index].copy_(adapter[f"{name}.weight"])
