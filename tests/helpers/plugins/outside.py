"""A plugin file with third-party backbones: without norms, with 3×3 convolutions, or with a single head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from torch import nn

from petlir.benchmark.backbone import Backbone
from tests.helpers.networks import ConvNet


def convolution(layer: nn.Module) -> nn.Conv2d:
    """Return a 3×3 convolution with as many input and output channels as `layer`."""
    assert isinstance(layer, nn.Conv2d)
    return nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1)


def build(name: str, heads: Mapping[str, int], change: Callable[[nn.Module], None] = lambda block: None) -> ConvNet:
    """Return a network of this name, with `change` applied to each block."""
    network = ConvNet(8)
    network.name, network.heads = name, dict(heads)
    for block in network.body:
        change(block)
    return network


def without_norms(block: nn.Module) -> None:
    """Replace each norm by the identity."""
    block.norm1, block.norm2 = nn.Identity(), nn.Identity()


def without_matrices(block: nn.Module) -> None:
    """Replace each projection by a 3×3 convolution."""
    for name in ("value", "out", "up", "down"):
        setattr(block, name, convolution(cast("nn.Conv2d", block.get_submodule(name))))


TWO = {"denoise_30": 1, "derain": 1}
BACKBONES: Mapping[str, Callable[[], Backbone]] = {
    "normless": partial(build, "normless", TWO, without_norms),
    "convolutional": partial(build, "convolutional", TWO, without_matrices),
    "single-head": partial(build, "single-head", {"restore": 1}),
}
