"""DAT, the Dual Aggregation Transformer (Chen et al., ICCV 2023), of any width and depth.

Blocks alternate between attention inside windows and attention between channels. Each attention layer is combined with
a convolution of its values, and each feed-forward layer has a gate. State dicts have the keys of the official release,
without the attention masks and index tables that official files also contain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import AdapterHooks, Backbone, Block, Branch, PromptHooks, Site, load_strictly
from petlir.benchmark.backbones.dat_attention import ChannelAttention, PositionBias, SpatialAttention
from petlir.benchmark.backbones.edsr import RGB_MEAN, upsampler
from petlir.benchmark.backbones.windows import ChannelsLast
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.paper import Paper

SCALES = (2, 3, 4)
DERIVED = ("attn_mask_0", "attn_mask_1", "rpe_biases", "relative_position_index")
"""Entries of official files that are not weights: masks and tables that follow from the network's sizes."""
AVERAGED = "averaged"
"""The head for tasks whose output has the size of the input."""


@dataclass(frozen=True)
class DATConfig:
    """The size of a DAT; the defaults are those of DAT-light.

    Attributes:
        width: number of channels of the features.
        groups: number of residual groups.
        depth: number of blocks per group; every second block attends between channels.
        attention_heads: number of attention heads, both inside windows and between channels.
        expansion: ratio of the feed-forward layers' hidden width to the width of the features.
        window: height and width of a horizontal window; half of the heads use vertical windows, which are transposed.
        light: whether each group ends in a bottleneck of three convolutions, and a single convolution outputs the
            pixels, as in DAT-light.
    """

    width: int = 60
    groups: int = 1
    depth: int = 18
    attention_heads: int = 6
    expansion: int = 2
    window: tuple[int, int] = (8, 32)
    light: bool = True

    def __post_init__(self) -> None:
        if self.width < 32 or self.width % self.attention_heads or self.attention_heads % 2:
            raise PetlirError(
                f"DAT: expected a width of at least 32 and an even number of heads that divides it; got {self}"
            )
        short, long = sorted(self.window)
        if short < 2 or short % 2 or long % short:
            raise PetlirError(f"DAT: expected a window with even sides, one a multiple of the other; got {self.window}")


class SpatialGate(nn.Module):
    """The gate of a feed-forward layer: one half of the channels times the normed and convolved other half."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, features: Tensor) -> Tensor:
        """Return gated N×H×W×C features for N×H×W×2C features."""
        kept, gate = features.chunk(2, -1)
        return cast("Tensor", kept * self.conv(self.norm(gate).permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class FeedForward(nn.Module):
    """Two linear layers with a GELU and a gate between them; the gate halves the channels."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.sg, self.fc2 = nn.Linear(width, hidden), SpatialGate(hidden // 2), nn.Linear(hidden // 2, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×H×W×C features, in the same shape."""
        return cast("Tensor", self.fc2(self.sg(functional.gelu(self.fc1(features)))))


class DATBlock(nn.Module):
    """Attention inside windows or between channels, then a feed-forward layer, each after a norm.

    Args:
        config: size of the network.
        group: index of the block's group.
        index: index of the block in its group; blocks with an odd index attend between channels.
    """

    def __init__(self, config: DATConfig, group: int, index: int) -> None:
        super().__init__()
        width, heads = config.width, config.attention_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        shifted = index % 4 == (0 if group % 2 else 2)
        self.attn = (
            ChannelAttention(width, heads)
            if index % 2
            else SpatialAttention(width, heads, config.window, shifted=shifted)
        )
        self.ffn = FeedForward(width, config.expansion * width)
        self.mixer, self.mlp = AdapterHooks() if index % 2 else PromptHooks(), AdapterHooks()

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×H×W×C features, in the same shape."""
        given = (self.mixer.context(self.norm1),) if isinstance(self.mixer, PromptHooks) else ()
        features = features + self.mixer(lambda normed: self.attn(normed, *given), self.norm1, features)
        return cast("Tensor", features + self.mlp(self.ffn, self.norm2, features))


MIXER = (("qkv", "attn.qkv"), ("out", "attn.proj"))
MLP = (("up", "ffn.fc1"), ("down", "ffn.fc2"))


def closing(config: DATConfig) -> nn.Module:
    """Return the last module of a group and of the body: a 3×3 convolution, or a bottleneck of three convolutions."""
    width, narrow = config.width, config.width // 4
    if not config.light:
        return nn.Conv2d(width, width, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(width, narrow, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(narrow, narrow, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(narrow, width, 3, padding=1),
    )


class ResidualGroup(nn.Module):
    """A sequence of blocks and a convolution, with a skip connection around both."""

    def __init__(self, config: DATConfig, number: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DATBlock(config, number, index) for index in range(config.depth))
        self.conv = closing(config)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×H×W×C features, in the same shape."""
        output = features
        for block in self.blocks:
            output = block(output)
        closed: Tensor = self.conv(output.permute(0, 3, 1, 2))
        return features + closed.permute(0, 2, 3, 1)


class DAT(Backbone):
    """The Dual Aggregation Transformer for a single scale and images of any size.

    The head `sr_x4` (or `sr_x2`, `sr_x3`) enlarges the image. The head `averaged`, for tasks that preserve the image
    size, averages the enlarged image over squares of `scale` by `scale` pixels and does not have weights of its own.

    Args:
        name: name of the network in grids.
        config: size of the network.
        scale: ratio of the output size to the input size.
    """

    paper = Paper.from_bib(__file__, "chen2023dual", licence="Apache-2.0")
    derived: ClassVar[tuple[str, ...]] = DERIVED
    sees_whole: ClassVar[bool] = True
    mean: Tensor

    def __init__(self, name: str, config: DATConfig, scale: int) -> None:
        super().__init__()
        self.name, self.config, self.scale, self.window = name, config, scale, None
        self.heads = {AVERAGED: 1, f"sr_x{scale}": scale}
        width = config.width
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(3, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.before_RG = nn.Sequential(nn.Identity(), nn.LayerNorm(width))
        self.layers = nn.ModuleList(ResidualGroup(config, number) for number in range(config.groups))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = closing(config)
        if config.light:
            self.upsample = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        else:
            self.conv_before_upsample = nn.Sequential(nn.Conv2d(width, 64, 3, padding=1), nn.LeakyReLU())
            self.upsample = upsampler(64, scale)
            self.conv_last = nn.Conv2d(64, 3, 3, padding=1)
        self.apply(_initialise)

    @classmethod
    def small(cls) -> DAT:
        """Return the small network for contract checks."""
        return cls("dat-tiny", DATConfig(width=32, groups=2, depth=2, attention_heads=4, window=(2, 4)), 2)

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore N×3×H×W images in [0, 1] through `head`, of scale s, to N×3×sH×sW, not clipped."""
        averaged = self.head_index(head) == 0
        images = images - self.mean
        if images.device.type == "cpu":  # on a CPU, convolutions are faster with channels last
            images = images.contiguous(memory_format=torch.channels_last)
        first = self.conv_first(images)
        features = self.before_RG(first.permute(0, 2, 3, 1))
        for group in self.layers:
            features = group(features)
        features = first + self.conv_after_body(self.norm(features).permute(0, 3, 1, 2))
        return self.pixels(features, averaged=averaged) + self.mean

    def pixels(self, features: Tensor, *, averaged: bool) -> Tensor:
        """Return the image for N×C×H×W features, optionally averaged over squares of `scale` by `scale` pixels.

        If a single convolution outputs all pixels of a square, its filters are averaged instead of the pixels.
        """
        if not self.config.light:
            image: Tensor = self.conv_last(self.upsample(self.conv_before_upsample(features)))
            return functional.avg_pool2d(image, self.scale) if averaged else image
        if not averaged:
            return cast("Tensor", self.upsample(features))
        layer = cast("nn.Conv2d", self.upsample[0])
        tensors = (layer.weight, cast("Tensor", layer.bias))
        weight, bias = (each.view(3, self.scale**2, *each.shape[1:]).mean(1) for each in tensors)
        return functional.conv2d(features, weight, bias, padding=1)

    def head_index(self, head: str | None) -> int:
        """Return the index of `head`, or of the enlarging head by default."""
        return super().head_index(head or f"sr_x{self.scale}")

    def input_note(self, head: str) -> str:
        """Return a note that the output is averaged, or "" if it is not."""
        return f"×{self.scale} output averaged over {self.scale}×{self.scale} pixels" if head == AVERAGED else ""

    def multiple(self, head: str | None) -> int:
        """Return the longer side of a window; queries, keys and values are padded to whole windows."""
        return max(self.config.window)

    def patch(self, head: str | None, least: int) -> int:
        """Return the side length of a training crop: as many whole windows as fit in `least` pixels, at least one."""
        multiple = self.multiple(head)
        return max(1, least // multiple) * multiple

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, group by group."""
        for number in range(self.config.groups):
            owner = self.get_submodule(f"layers.{number}.blocks")
            for index in range(self.config.depth):
                site = Site("block", owner, str(index))
                branches = (
                    Branch.of(site.module, "mixer", "norm1", MIXER),
                    Branch.of(site.module, "mlp", "norm2", MLP),
                )
                yield Block(f"group.{number}.{index}", self.config.width, branches, ChannelsLast(), site)

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield all parameters except those of constant position biases, which have no effect on attention."""
        unseen = {
            p
            for module in self.modules()
            if isinstance(module, PositionBias) and module.constant
            for p in module.parameters()
        }
        return (parameter for parameter in self.parameters() if parameter not in unseen)

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the layers after the body."""
        for part in ("upsample",) if self.config.light else ("conv_before_upsample", "upsample", "conv_last"):
            yield from self.get_submodule(part).parameters()

    def outer_norms(self) -> Iterator[Site]:
        """Yield the norm before the blocks, then the norm after them."""
        yield Site("norm", self.before_RG, "1")
        yield Site("norm", self, "norm")

    def inner_norms(self) -> Iterator[nn.Module]:
        """Yield the batch norms parallel to attention and the norms of the gates, but no norms of position biases."""
        for layer in (layer for layer in self.modules() if isinstance(layer, DATBlock)):
            yield from (module for module in layer.attn.modules() if isinstance(module, nn.BatchNorm2d))
            yield layer.ffn.sg.norm

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict with the official keys; masks and index tables are ignored.

        Raises:
            PetlirError: the weights are for another scale, or some keys are missing, unexpected or have a wrong shape;
                no weights are loaded.
        """
        found = scale_of(state)
        if found not in (None, self.scale):
            raise PetlirError(f"weights for {self.name}: they are for ×{found}, expected ×{self.scale}")
        weights = {key: tensor for key, tensor in state.items() if key.rpartition(".")[2] not in DERIVED}
        load_strictly(self, weights, f"weights for {self.name}")


def scale_of(state: Mapping[str, Tensor]) -> int | None:
    """Return the scale of the upsampler in a state dict, or None if there is no upsampler."""
    steps = [len(tensor) for key, tensor in state.items() if re.fullmatch(r"upsample\.\d\.weight", key)]
    outputs = 64 if "conv_last.weight" in state else 3
    return math.prod(math.isqrt(channels // outputs) for channels in steps) if steps else None


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


CLASSICAL = DATConfig(width=180, groups=6, depth=6, light=False)
SIZES = {
    "dat-light": DATConfig(),
    "dat-s": replace(CLASSICAL, window=(8, 16)),
    "dat": replace(CLASSICAL, expansion=4),
    "dat-2": CLASSICAL,
}
"""The published sizes."""


def build(name: str, config: DATConfig, scale: int = 4) -> DAT:
    """Return a DAT for a scale; the scale is part of the network's name unless it is 4.

    Raises:
        PetlirError: the scale is not supported.
    """
    if scale not in SCALES:
        raise PetlirError(f"{name} has no scale {scale!r}; valid: {', '.join(map(str, SCALES))}")
    return DAT(name if scale == 4 else f"{name}-x{scale}", config, scale)


BACKBONES = {name: partial(build, name, config) for name, config in SIZES.items()} | {
    f"{name}-x{scale}": partial(build, name, config, scale) for name, config in SIZES.items() for scale in (2, 3)
}
"""The functions that build the backbones, keyed by the backbones' names in grids."""
