"""Restormer (Zamir et al., CVPR 2022), of any width and depth.

A U-shaped transformer with attention between channels (§3.1): for images of any size, the attention map of a head with
c channels is c×c. State dicts have the keys of the official release, except that fused query, key and value
convolutions are separate. None of the convolutions has a bias.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import AdapterHooks, Block, Branch, Site, load_strictly
from petlir.benchmark.backbones.enlarge import SizePreserving
from petlir.benchmark.backbones.maps import BiasFreeNorm, ChannelNorm, MapLayout, halves
from petlir.benchmark.backbones.packing import PROJECTIONS, apart, pack, unpack
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.paper import Paper

NORMS = ("withbias", "biasfree")
EPSILON = 1e-5
PACKED = {f".qkv{kind}.weight": apart(f"{kind}.weight") for kind in ("", "_dwconv")}


@dataclass(frozen=True)
class RestormerConfig:
    """The size of a Restormer; the defaults are the published size.

    Attributes:
        dim: number of channels at full resolution; it doubles at each of the three lower levels.
        blocks: number of blocks at each level, the lowest resolution last; a decoder has as many blocks as the encoder
            of its level.
        refinement: number of blocks after the last decoder; like the last decoder, they have twice `dim` channels.
        attention_heads: number of attention heads per block, for each level.
        expansion: ratio of the gated feed-forward layers' hidden channels to the channels of the features.
        norm: `withbias`, as in the official weights for rain and blur, or `biasfree`, as in the official weights for
            denoising.
    """

    dim: int = 48
    blocks: tuple[int, ...] = (4, 6, 6, 8)
    refinement: int = 4
    attention_heads: tuple[int, ...] = (1, 2, 4, 8)
    expansion: float = 2.66
    norm: str = "withbias"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown("norm of Restormer", self.norm, NORMS)
        if (len(self.blocks), len(self.attention_heads)) != (4, 4):
            raise PetlirError(f"a Restormer has four levels, not {self.blocks} with heads {self.attention_heads}")
        if self.dim % 2 or any((self.dim << level) % heads for level, heads in enumerate(self.attention_heads)):
            raise PetlirError(
                f"a Restormer with dim {self.dim} and heads {self.attention_heads}: expected an even dim, and "
                "numbers of heads that divide dim, 2·dim, 4·dim and 8·dim"
            )


class Attention(nn.Module):
    """Multi-head attention between the channels of N×C×H×W maps, with queries and keys of unit length."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        for part in PROJECTIONS:
            self.add_module(part, nn.Conv2d(width, width, 1, bias=False))
            self.add_module(f"{part}_dwconv", nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False))
        self.project_out = nn.Conv2d(width, width, 1, bias=False)

    def reset_parameters(self) -> None:
        """Set the temperature to its initial value."""
        nn.init.ones_(self.temperature)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×C×H×W maps, in the same shape."""
        query, key, value = (self._places(part, features) for part in PROJECTIONS)
        weights = (_unit(query).mT @ _unit(key) * self.temperature).softmax(-1)
        gathered = (value @ weights.mT).transpose(1, 2).reshape(features.permute(0, 2, 3, 1).shape)
        return cast("Tensor", self.project_out(gathered.permute(0, 3, 1, 2)))

    def _places(self, part: str, features: Tensor) -> Tensor:
        """Return query, key or value as N×heads×HW×c, without a copy for channels-last memory."""
        projected = self.get_submodule(f"{part}_dwconv")(self.get_submodule(part)(features))
        split = projected.permute(0, 2, 3, 1).flatten(1, 2).unflatten(-1, (len(self.temperature), -1))
        return cast("Tensor", split.transpose(1, 2))


def _unit(places: Tensor) -> Tensor:
    """Normalise each channel of N×heads×HW×c to unit length, faster than `functional.normalize`."""
    return places * places.square().sum(-2, keepdim=True).clamp_min(1e-24).rsqrt()


class FeedForward(nn.Module):
    """A feed-forward layer with a depthwise convolution, gated by the GELU of half of its channels (§3.2)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×C×H×W maps, in the same shape."""
        one, other = halves(self.dwconv(self.project_in(features)))
        return cast("Tensor", self.project_out(functional.gelu(one) * other))


class TransformerBlock(nn.Module):
    """Attention, then a feed-forward layer, each after a norm.

    Args:
        width: number of channels.
        heads: number of attention heads.
        config: size of the network.
    """

    def __init__(self, width: int, heads: int, config: RestormerConfig) -> None:
        super().__init__()
        norm = ChannelNorm if config.norm == "withbias" else BiasFreeNorm
        self.norm1, self.norm2 = _named("body", norm(width, EPSILON)), _named("body", norm(width, EPSILON))
        self.attn = Attention(width, heads)
        self.ffn = FeedForward(width, int(width * config.expansion))
        self.mixer, self.mlp = AdapterHooks(), AdapterHooks()

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×C×H×W features, in the same shape."""
        features = features + self.mixer(self.attn, self.norm1, features)
        return cast("Tensor", features + self.mlp(self.ffn, self.norm2, features))


def _named(name: str, module: nn.Module) -> nn.Sequential:
    """Nest the module under a name, as in the keys of the official checkpoint."""
    return nn.Sequential(OrderedDict({name: module}))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _resampler(inputs: int, outputs: int, shuffle: nn.Module) -> nn.Sequential:
    return _named("body", nn.Sequential(_conv(inputs, outputs), shuffle))


MIXER = (*((part, f"attn.{part}") for part in PROJECTIONS), ("out", "attn.project_out"))
MLP = (("up", "ffn.project_in"), ("down", "ffn.project_out"))


class Restormer(SizePreserving):
    """Restormer for images of any size: inputs are padded at the bottom and right by reflection; outputs are cropped.

    The blocks are named `encoder.LEVEL.INDEX`, `middle.INDEX` (officially `latent`), `decoder.LEVEL.INDEX`, with levels
    in the order of computation, and `refinement.INDEX`. Depthwise convolutions are not sites.

    Args:
        name: name of the network in grids.
        config: size of the network.
    """

    paper = Paper.from_bib(__file__, "zamir2022restormer", licence="academic, non-commercial")

    def __init__(self, name: str, config: RestormerConfig) -> None:
        super().__init__(name)
        self.config = config
        dim = config.dim
        self.patch_embed = _named("proj", _conv(3, dim))
        for _, where, width, heads, count in self._stages():
            self.add_module(where, nn.Sequential(*(TransformerBlock(width, heads, config) for _ in range(count))))
        for level in (1, 2, 3):
            fine, coarse = dim << level - 1, dim << level
            self.add_module(f"down{level}_{level + 1}", _resampler(fine, fine // 2, nn.PixelUnshuffle(2)))
            self.add_module(f"up{level + 1}_{level}", _resampler(coarse, 2 * coarse, nn.PixelShuffle(2)))
            if level > 1:
                self.add_module(f"reduce_chan_level{level}", nn.Conv2d(coarse, fine, 1, bias=False))
        self.output = _conv(2 * dim, 3)

    def _stages(self) -> Iterator[tuple[str, str, int, int, int]]:
        """Yield name, official name, channels, attention heads and number of blocks of each stage, in order."""
        config, dim = self.config, self.config.dim
        levels = list(zip(config.attention_heads, config.blocks, strict=True))
        for level in (0, 1, 2):
            yield f"encoder.{level}", f"encoder_level{level + 1}", dim << level, *levels[level]
        yield "middle", "latent", dim << 3, *levels[3]
        for place, level in enumerate((2, 1, 0)):
            yield f"decoder.{place}", f"decoder_level{level + 1}", dim << max(level, 1), *levels[level]
        yield "refinement", "refinement", 2 * dim, config.attention_heads[0], config.refinement

    @classmethod
    def small(cls) -> Restormer:
        """Return the small network for contract checks."""
        return cls("restormer", RestormerConfig(dim=8, blocks=(1, 1, 1, 2), refinement=1))

    def restore(self, images: Tensor) -> Tensor:
        """Restore N×3×H×W images whose sides are multiples of 8."""
        part = self.get_submodule
        features, skips = self.patch_embed(images), []
        for level in (1, 2, 3):
            skips.append(part(f"encoder_level{level}")(features))
            features = part(f"down{level}_{level + 1}")(skips[-1])
        features = part("latent")(features)
        for level in (3, 2, 1):
            features = torch.cat([part(f"up{level + 1}_{level}")(features), skips.pop()], 1)
            if level > 1:  # the last decoder has twice the channels
                features = part(f"reduce_chan_level{level}")(features)
            features = part(f"decoder_level{level}")(features)
        return cast("Tensor", self.output(part("refinement")(features)) + images)

    def pad(self, images: Tensor) -> Tensor:
        """Pad the images by reflection at the bottom and right, repeatedly if necessary.

        Raises:
            PetlirError: the height or the width is a single pixel, which cannot be reflected.
        """
        down, right = self.missing(images)
        height, width = images.shape[-2:]
        if min(height, width) < 2:
            raise PetlirError(f"an image of {width}×{height} is too small for {self.name}; expected at least 2×2")
        if not (down or right):
            return images
        rows, columns = _mirrored(height, height + down), _mirrored(width, width + right)
        return images.index_select(-2, rows.to(images.device)).index_select(-1, columns.to(images.device))

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the last convolution."""
        yield from self.output.parameters()

    def multiple(self, head: str | None) -> int:
        """Return 2 to the power of the number of downsamplings."""
        return 8

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of encoders, middle, decoders and refinement."""
        for name, where, width, _, count in self._stages():
            for index in range(count):
                site = Site("block", self, f"{where}.{index}")
                branches = (
                    Branch.of(site.module, "mixer", "norm1.body", MIXER),
                    Branch.of(site.module, "mlp", "norm2.body", MLP),
                )
                yield Block(f"{name}.{index}", width, branches, MapLayout(), site)

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict with the official keys, including fused convolutions."""
        load_strictly(self, unpack(state, PACKED), f"weights for {self.name}")

    def official_state_dict(self) -> dict[str, Tensor]:
        """Return the weights as a state dict with the official keys."""
        return pack(self.state_dict(), PACKED)


def _mirrored(length: int, target: int) -> Tensor:
    """Return the source index for each of `target` positions when `length` positions are reflected back and forth."""
    place = torch.arange(target) % (2 * length - 2)
    return torch.minimum(place, 2 * length - 2 - place)


NANO = RestormerConfig(12, (1, 1, 1, 2), 1)
"""The network size for training and benchmarking in minutes on a CPU."""


def sized(
    dim: int = RestormerConfig.dim,
    blocks: tuple[int, ...] = RestormerConfig.blocks,
    refinement: int = RestormerConfig.refinement,
    attention_heads: tuple[int, ...] = RestormerConfig.attention_heads,
    expansion: float = RestormerConfig.expansion,
    norm: str = RestormerConfig.norm,
) -> Restormer:
    """Return a Restormer of any size, by default the published size; see `RestormerConfig`."""
    return Restormer("restormer", RestormerConfig(dim, blocks, refinement, attention_heads, expansion, norm))


BACKBONES = {
    "restormer": sized,
    "restormer-biasfree": partial(Restormer, "restormer-biasfree", RestormerConfig(norm="biasfree")),
    "restormer-nano": partial(Restormer, "restormer-nano", NANO),
}
"""The functions that build the backbones, keyed by the backbones' names in grids."""
