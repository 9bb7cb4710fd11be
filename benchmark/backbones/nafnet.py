"""NAFNet (Chen et al., Simple Baselines for Image Restoration, ECCV 2022), of any width and depth.

A U-shaped network of blocks without activation functions: 1×1 and depthwise convolutions, a gate that multiplies the
two halves of the channels, and channel attention from a pooled mean. State dicts have the keys of the official release.

Before the residual sum, the output of each branch is multiplied by trained factors per channel, β or γ. For modules
that methods insert, β and γ belong to the branch: the output of a module parallel to the branch is added to the
product, and a module after the branch reads the product. The outputs of inserted modules are not multiplied by β or γ.
In a new network β and γ are zero, so each block is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import AdapterHooks, Block, Branch, Site
from petlir.benchmark.backbones.enlarge import SizePreserving
from petlir.benchmark.backbones.maps import ChannelNorm, MapLayout, halves
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.paper import Paper

POOLINGS = ("global", "windowed")
POOLING_WINDOW = 384
"""Side length of the pooling window in input pixels: 1.5 times the 256 pixels of the training crops."""
EPSILON = 1e-6


@dataclass(frozen=True)
class NAFNetConfig:
    """The size of a NAFNet; the defaults are the published layout for SIDD, with width 32.

    Attributes:
        width: number of channels at full resolution; each level down doubles it.
        encoders: number of encoder blocks per level, from full resolution down.
        middle: number of blocks at the lowest resolution.
        decoders: number of decoder blocks per level, from the lowest resolution up.
        pooling: region over which channel attention averages: `global`, or `windowed` (Chu et al., Improving Image
            Restoration by Revisiting Global Information Aggregation, ECCV 2022), with which the published GoPro scores
            were computed.
    """

    width: int = 32
    encoders: tuple[int, ...] = (2, 2, 4, 8)
    middle: int = 12
    decoders: tuple[int, ...] = (2, 2, 2, 2)
    pooling: str = "global"

    def __post_init__(self) -> None:
        if len(self.encoders) != len(self.decoders):
            raise PetlirError(f"a NAFNet has as many decoders as encoders, not {self.decoders} for {self.encoders}")
        if self.pooling not in POOLINGS:
            raise unknown("pooling of NAFNet", self.pooling, POOLINGS)


class WindowedMean(nn.Module):
    """The mean over a square window around each position, or a global mean if the window covers everything.

    Positions too near the border for a whole window use the mean of the nearest whole window (replication). Running
    sums make the cost independent of the window's side. Running sums are computed along one axis at a time, because
    running sums over both axes lose precision on large images.

    Args:
        side: side length of the window, in positions.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, features: Tensor) -> Tensor:
        """Return the means of N×C×H×W features in the same shape, or N×C×1×1 if they are global."""
        if self.side >= max(features.shape[-2:]):
            return features.mean((-2, -1), keepdim=True)
        means = _sliding_mean(_sliding_mean(features, self.side).mT, self.side).mT
        down, right = (whole - part for whole, part in zip(features.shape[-2:], means.shape[-2:], strict=True))
        return functional.pad(means, (right // 2, right - right // 2, down // 2, down - down // 2), mode="replicate")


def _sliding_mean(values: Tensor, side: int) -> Tensor:
    """Return the mean of each window of `side` positions that fits in the last axis."""
    side = min(side, values.shape[-1])
    sums = functional.pad(values.cumsum(-1), (1, 0))
    return (sums[..., side:] - sums[..., :-side]) / side


class NAFBlock(nn.Module):
    """A mixer (depthwise convolution, gate, channel attention) and an mlp with a gate, each after a norm.

    Args:
        width: number of channels.
        pool: the module that computes the means for channel attention.
    """

    def __init__(self, width: int, pool: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width, EPSILON), ChannelNorm(width, EPSILON)
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.sca = nn.Sequential(pool, nn.Conv2d(width, width, 1))
        self.conv3 = nn.Conv2d(width, width, 1)
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.mixer, self.mlp = AdapterHooks(), AdapterHooks()

    def reset_parameters(self) -> None:
        """Set the factors to their initial values."""
        for factors in (self.beta, self.gamma):
            nn.init.zeros_(factors)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×C×H×W features, in the same shape."""
        features = features + self.mixer(self.mix, self.norm1, features)
        return cast("Tensor", features + self.mlp(self.feed, self.norm2, features))

    def mix(self, normed: Tensor) -> Tensor:
        """Return the mixer's output for normed features, times β."""
        one, other = halves(self.conv2(self.conv1(normed)))
        gated = one * other
        return cast("Tensor", self.conv3(gated * self.sca(gated)) * self.beta)

    def feed(self, normed: Tensor) -> Tensor:
        """Return the mlp's output for normed features, times γ."""
        one, other = halves(self.conv4(normed))
        return cast("Tensor", self.conv5(one * other) * self.gamma)


MIXER = (("expand", "conv1"), ("attention", "sca.1"), ("out", "conv3"))
MLP = (("up", "conv4"), ("down", "conv5"))


class NAFNet(SizePreserving):
    """NAFNet for images of any size: inputs are zero-padded at the bottom and right, and outputs are cropped.

    The blocks are named `encoder.LEVEL.INDEX`, `middle.INDEX` and `decoder.LEVEL.INDEX`, with levels in the order of
    computation. The site `attention` is the 1×1 convolution of channel attention, which reads pooled features: N×C×1×1,
    or N×C×H×W with windowed pooling. Depthwise convolutions are not sites.

    Args:
        name: name of the network in grids.
        config: size of the network.
    """

    paper = Paper.from_bib(__file__, "chen2022nafnet", licence="MIT")

    def __init__(self, name: str, config: NAFNetConfig) -> None:
        super().__init__(name)
        self.config = config
        width, levels = config.width, len(config.encoders)
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3, 3, padding=1)
        self.encoders = nn.ModuleList(self._stage(level, count) for level, count in enumerate(config.encoders))
        self.decoders = nn.ModuleList(
            self._stage(levels - 1 - place, count) for place, count in enumerate(config.decoders)
        )
        self.middle_blks = self._stage(levels, config.middle)
        self.ups = nn.ModuleList(_up(width << level) for level in range(levels, 0, -1))
        self.downs = nn.ModuleList(nn.Conv2d(width << level, width << level + 1, 2, 2) for level in range(levels))

    @classmethod
    def small(cls) -> NAFNet:
        """Return the small network for contract checks."""
        return cls("nafnet", NAFNetConfig(width=8, encoders=(1, 1), middle=1, decoders=(1, 1)))

    def _stage(self, level: int, count: int) -> nn.Sequential:
        """Return the blocks of a level; level 0 is full resolution."""
        return nn.Sequential(*(NAFBlock(self.config.width << level, self._pool(level)) for _ in range(count)))

    def _pool(self, level: int) -> nn.Module:
        return nn.AdaptiveAvgPool2d(1) if self.config.pooling == "global" else WindowedMean(POOLING_WINDOW >> level)

    def restore(self, images: Tensor) -> Tensor:
        """Restore N×3×H×W images whose sides are multiples of `multiple(None)`."""
        features, skips = self.intro(images), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(features))
            features = down(skips[-1])
        features = self.middle_blks(features)
        for decoder, up in zip(self.decoders, self.ups, strict=True):
            features = decoder(up(features) + skips.pop())
        return cast("Tensor", self.ending(features) + images)

    def pad(self, images: Tensor) -> Tensor:
        """Pad the images with zeros at the bottom and right."""
        down, right = self.missing(images)
        return functional.pad(images, (0, right, 0, down)) if down or right else images

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the last convolution."""
        yield from self.ending.parameters()

    def multiple(self, head: str | None) -> int:
        """Return 2 to the power of the number of levels."""
        return 1 << len(self.config.encoders)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of encoders, middle and decoders."""
        levels = len(self.config.encoders)
        for level, count in enumerate(self.config.encoders):
            yield from self._views(f"encoder.{level}", f"encoders.{level}", level, count)
        yield from self._views("middle", "middle_blks", levels, self.config.middle)
        for place, count in enumerate(self.config.decoders):
            yield from self._views(f"decoder.{place}", f"decoders.{place}", levels - 1 - place, count)

    def _views(self, name: str, where: str, level: int, count: int) -> Iterator[Block]:
        for index in range(count):
            site = Site("block", self, f"{where}.{index}")
            branches = (
                Branch.of(site.module, "mixer", "norm1", MIXER),
                Branch.of(site.module, "mlp", "norm2", MLP),
            )
            yield Block(f"{name}.{index}", self.config.width << level, branches, MapLayout(), site)


def _up(width: int) -> nn.Sequential:
    """Return a layer that doubles the resolution and halves the channels."""
    return nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2))


GOPRO = NAFNetConfig(32, (1, 1, 1, 28), 1, (1, 1, 1, 1))
NANO = NAFNetConfig(16, (1, 1, 2), 4, (1, 1, 1))
"""The network size for training and benchmarking in minutes on a CPU."""


def build(name: str, config: NAFNetConfig, pooling: str = NAFNetConfig.pooling) -> NAFNet:
    """Return a NAFNet of the size `config`; `pooling` is `global` or `windowed`."""
    return NAFNet(name, replace(config, pooling=pooling))


def sized(
    width: int = NAFNetConfig.width,
    encoders: tuple[int, ...] = NAFNetConfig.encoders,
    middle: int = NAFNetConfig.middle,
    decoders: tuple[int, ...] = NAFNetConfig.decoders,
    pooling: str = NAFNetConfig.pooling,
) -> NAFNet:
    """Return a NAFNet of any size; see `NAFNetConfig`."""
    return NAFNet("nafnet", NAFNetConfig(width, encoders, middle, decoders, pooling))


BACKBONES = {
    "nafnet": sized,
    "nafnet-32": partial(build, "nafnet-32", NAFNetConfig()),
    "nafnet-64": partial(build, "nafnet-64", NAFNetConfig(64)),
    "nafnet-32-gopro": partial(build, "nafnet-32-gopro", GOPRO),
    "nafnet-64-gopro": partial(build, "nafnet-64-gopro", replace(GOPRO, width=64)),
    "nafnet-nano": partial(build, "nafnet-nano", NANO),
}
"""The functions that build the backbones, keyed by the backbones' names in grids."""
