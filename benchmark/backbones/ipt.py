"""IPT, the Image Processing Transformer (Chen et al., CVPR 2021), of any width and depth.

A 48×48 window passes through the convolutional head of its task and is cut into 3×3 patches. The patches pass through
an encoder and a decoder, are folded back into a map, and pass through the task's tail. A learned query tells the
decoder which task to perform. State dicts have the keys of the official release, except that packed query, key and
value projections are separate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import AdapterHooks, Backbone, Block, Branch, PromptHooks, Site, load_strictly
from petlir.benchmark.backbones.edsr import RGB_MEAN, upsampler
from petlir.benchmark.backbones.packing import PROJECTIONS, apart, pack, unpack
from petlir.benchmark.errors import PetlirError, chosen
from petlir.benchmark.paper import Paper

HEADS = {"sr_x2": 2, "sr_x3": 3, "sr_x4": 4, "derain": 1, "denoise_30": 1, "denoise_50": 1}
PACKED = {".in_proj_weight": apart(".weight")}
CONSTANTS = ("position_ids",)


@dataclass(frozen=True)
class IPTConfig:
    """The size of an IPT; the defaults are the published size.

    Attributes:
        features: number of channels of heads and tails.
        layers: number of encoder layers, which is also the number of decoder layers.
        attention_heads: number of attention heads per layer.
        expansion: ratio of the feed-forward layers' hidden width to the token width.
        patch: side length of a patch, which becomes a token.
        window: side length of the input, which is fixed.
    """

    features: int = 64
    layers: int = 12
    attention_heads: int = 12
    expansion: int = 4
    patch: int = 3
    window: int = 48

    @property
    def width(self) -> int:
        """The number of channels of a token."""
        return self.features * self.patch**2

    @property
    def tokens(self) -> int:
        """The number of tokens of a window."""
        return (self.window // self.patch) ** 2


class Attention(nn.Module):
    """Multi-head attention without biases over N×L×C tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, prompts: Tensor | None = None) -> Tensor:
        """Return N×L×C tokens: attention of `query` to `key` and `value`, both extended by 1×K×C `prompts`."""
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        if prompts is not None:
            k, v = (
                torch.cat([tokens, self._split(projection(prompts)).expand(len(tokens), -1, -1, -1)], 2)
                for tokens, projection in ((k, self.key), (v, self.value))
            )
        gathered = functional.scaled_dot_product_attention(q, k, v)
        return cast("Tensor", self.out_proj(gathered.transpose(1, 2).flatten(-2)))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them; the attributes have the official names."""

    linear1: nn.Module
    linear2: nn.Module

    def feed(self, tokens: Tensor) -> Tensor:
        """Apply the feed-forward layer to N×L×C tokens."""
        return cast("Tensor", self.linear2(functional.relu(self.linear1(tokens))))


class EncoderLayer(FeedForward):
    """Self-attention, then a feed-forward layer, each after a norm."""

    def __init__(self, config: IPTConfig) -> None:
        super().__init__()
        width = config.width
        self.self_attn = Attention(width, config.attention_heads)
        self.linear1 = nn.Linear(width, width * config.expansion)
        self.linear2 = nn.Linear(width * config.expansion, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.mixer = PromptHooks()
        self.mlp = AdapterHooks()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the output for N×L×C tokens, in the same shape."""
        prompts = self.mixer.context(self.norm1)
        tokens = tokens + self.mixer(lambda x: self.self_attn(x, x, x, prompts), self.norm1, tokens)
        return cast("Tensor", tokens + self.mlp(self.feed, self.norm2, tokens))


class DecoderLayer(FeedForward):
    """Self-attention with the task's query, attention to the encoder's output, and a feed-forward layer."""

    def __init__(self, config: IPTConfig) -> None:
        super().__init__()
        width = config.width
        self.self_attn = Attention(width, config.attention_heads)
        self.multihead_attn = Attention(width, config.attention_heads)
        self.linear1 = nn.Linear(width, width * config.expansion)
        self.linear2 = nn.Linear(width * config.expansion, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.mixer = PromptHooks()
        self.cross = AdapterHooks()
        self.mlp = AdapterHooks()

    def forward(self, tokens: Tensor, memory: Tensor, query: Tensor) -> Tensor:
        """Return the output for N×L×C tokens; `memory` is the encoder's output, `query` the task's 1×L×C query."""
        prompts = self.mixer.context(self.norm1)
        tokens = tokens + self.mixer(lambda x: self.attend(x, query, prompts), self.norm1, tokens)
        tokens = tokens + self.cross(lambda x: self.multihead_attn(x + query, memory, memory), self.norm2, tokens)
        return cast("Tensor", tokens + self.mlp(self.feed, self.norm3, tokens))

    def attend(self, tokens: Tensor, query: Tensor, prompts: Tensor | None) -> Tensor:
        """Apply self-attention to normed N×L×C tokens, with the task's query added to queries and keys."""
        placed = tokens + query
        return cast("Tensor", self.self_attn(placed, placed, tokens, prompts))


class Stack(nn.Module):
    """A list of layers; the body calls them one by one, because encoder and decoder layers take different arguments."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Positions(nn.Module):
    """A learned position embedding for each token of the window."""

    def __init__(self, config: IPTConfig) -> None:
        super().__init__()
        self.pe = nn.Embedding(config.tokens, config.width)


class Body(nn.Module):
    """The transformer, which maps N×F×S×S features to features of the same shape."""

    def __init__(self, config: IPTConfig, tasks: int) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.linear_encoding = nn.Linear(width, width)
        self.mlp_head = nn.Sequential(
            nn.Linear(width, width * config.expansion),
            nn.Dropout(0.0),
            nn.ReLU(),
            nn.Linear(width * config.expansion, width),
        )
        self.query_embed = nn.Embedding(tasks, config.tokens * width)
        self.encoder = Stack([EncoderLayer(config) for _ in range(config.layers)])
        self.decoder = Stack([DecoderLayer(config) for _ in range(config.layers)])
        self.position_encoding = Positions(config)

    def forward(self, features: Tensor, task: int) -> Tensor:
        """Return the output for N×F×S×S features of a window and the index of their task."""
        patch = self.config.patch
        tokens = functional.unfold(features, patch, stride=patch).transpose(1, 2)
        tokens = self.linear_encoding(tokens) + tokens + self.position_encoding.pe.weight
        query = self.query_embed.weight[task].view(1, self.config.tokens, self.config.width)
        for layer in self.encoder.layers:
            tokens = layer(tokens)
        memory = tokens
        for layer in self.decoder.layers:
            tokens = layer(tokens, memory, query)
        tokens = self.mlp_head(tokens) + tokens
        return functional.fold(tokens.transpose(1, 2), features.shape[-2:], patch, stride=patch)


class ResBlock(nn.Module):
    """Two 5×5 convolutions with a ReLU between them and a residual connection."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(features, features, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(features, features, 5, padding=2),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×F×H×W features, in the same shape."""
        return cast("Tensor", self.body(features) + features)


def mean_shift(sign: int) -> nn.Conv2d:
    """Return the fixed 1×1 convolution that subtracts or adds the mean colour, for values in [0, 255]."""
    shift = nn.Conv2d(3, 3, 1)
    nn.init.dirac_(shift.weight)
    with torch.no_grad():  # computed on CPU: on the meta device, arithmetic imports torch's compiler
        cast("Tensor", shift.bias).copy_(sign * 255.0 * torch.tensor(RGB_MEAN, device="cpu"))
    return shift.requires_grad_(False)


@dataclass(frozen=True)
class TokenGrid:
    """The layout of N×L×C tokens of a square window as a map."""

    side: int

    def to_map(self, features: Tensor) -> Tensor:
        """Return the tokens as an N×C×side×side map."""
        return features.transpose(1, 2).reshape(features.shape[0], -1, self.side, self.side)

    def from_map(self, image: Tensor) -> Tensor:
        """Return the map as N×L×C tokens."""
        return image.flatten(2).transpose(1, 2)


class IPT(Backbone):
    """The Image Processing Transformer, with a head and a tail per task.

    Args:
        name: name of the network in grids.
        config: size of the network.
        heads: scale of each head, by name, in the order of the official list of scales.
    """

    paper = Paper.from_bib(__file__, "chen2021ipt", licence="Apache-2.0")
    task_heads: ClassVar[Mapping[str, str]] = {
        "derain_light": "derain",
        "derain_heavy": "derain",
        "low_light": "denoise_50",
        "sidd": "denoise_50",
        "jpeg": "denoise_30",
        "deblur": "denoise_30",
        "mixture": "denoise_50",
        "hybrid_lr4_noise30": "sr_x4",
        "hybrid_lr4_jpeg30": "sr_x4",
    }
    official_tiling: ClassVar[str] = "chop"

    def __init__(self, name: str = "ipt", config: IPTConfig | None = None, heads: Mapping[str, int] = HEADS) -> None:
        super().__init__()
        config = config or IPTConfig()
        features = config.features
        self.name, self.config, self.heads, self.window = name, config, dict(heads), config.window
        self.sub_mean = mean_shift(-1)
        self.add_mean = mean_shift(+1)
        self.head = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, features, 3, padding=1), ResBlock(features), ResBlock(features)) for _ in heads
        )
        self.body = Body(config, len(heads))
        self.tail = nn.ModuleList(
            nn.Sequential(upsampler(features, scale), nn.Conv2d(features, 3, 3, padding=1)) for scale in heads.values()
        )

    @classmethod
    def small(cls) -> IPT:
        """Return the small network for contract checks: 30,000 weights, 12×12 windows, two heads."""
        config = IPTConfig(features=4, layers=1, attention_heads=2, expansion=2, patch=3, window=12)
        return cls("ipt-tiny", config, {"sr_x2": 2, "denoise_30": 1})

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore N×3×48×48 windows in [0, 1] through `head`."""
        if images.shape[-2:] != (self.config.window, self.config.window):
            size = "×".join(map(str, images.shape[-2:]))
            raise PetlirError(f"{self.name} takes windows of {self.window}×{self.window}, got {size}; use restore()")
        task = self.head_index(head)
        features = self.head[task](self.sub_mean(images * 255))
        features = self.body(features, task) + features
        return cast("Tensor", self.add_mean(self.tail[task](features)) / 255)

    def blocks(self) -> Iterator[Block]:
        """Yield encoder layers, then decoder layers."""
        grid = TokenGrid(self.config.window // self.config.patch)
        for stack, branches in (("encoder", ENCODER_BRANCHES), ("decoder", DECODER_BRANCHES)):
            owner = self.body.get_submodule(f"{stack}.layers")
            for index in range(self.config.layers):
                site = Site("block", owner, str(index))
                views = tuple(Branch.of(site.module, *branch) for branch in branches)
                yield Block(f"{stack}.{index}", self.config.width, views, grid, site, self.config.patch)

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the body, head and tail in use, or of all heads and tails if `head` is None.

        The parameters of the fixed mean shifts are never included.
        """
        yield from self.body.parameters()
        used = range(len(self.heads)) if head is None else [self.head_index(head)]
        for index in used:
            yield from self.head[index].parameters()
            yield from self.tail[index].parameters()

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the tail in use, or of all tails if `head` is None."""
        for index in range(len(self.heads)) if head is None else [self.head_index(head)]:
            yield from self.tail[index].parameters()

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict with the official keys, including packed projections."""
        load_strictly(self, unpack(state, PACKED, CONSTANTS), f"weights for {self.name}")

    def official_state_dict(self) -> dict[str, Tensor]:
        """Return the weights as a state dict with the official keys, without the constant `position_ids`."""
        return pack(self.state_dict(), PACKED)


BranchPlan = tuple[str, str, tuple[tuple[str, str], ...]]
"""The kind of a branch, the attribute path of its norm, and its projections as pairs (name, attribute path)."""


def _attention(where: str) -> tuple[tuple[str, str], ...]:
    return (*((name, f"{where}.{name}") for name in PROJECTIONS), ("out", f"{where}.out_proj"))


FEED = (("up", "linear1"), ("down", "linear2"))
ENCODER_BRANCHES: tuple[BranchPlan, ...] = (
    ("mixer", "norm1", _attention("self_attn")),
    ("mlp", "norm2", FEED),
)
DECODER_BRANCHES: tuple[BranchPlan, ...] = (
    ("mixer", "norm1", _attention("self_attn")),
    ("cross", "norm2", _attention("multihead_attn")),
    ("mlp", "norm3", FEED),
)


NANO = IPTConfig(features=12, layers=2, attention_heads=6, expansion=2)
"""The network size for training and benchmarking in minutes on a CPU."""


def build(name: str, config: IPTConfig, heads: Sequence[str] = tuple(HEADS)) -> IPT:
    """Return an IPT with a selection of the six heads.

    Raises:
        PetlirError: a head is unknown.
    """
    return IPT(name, config, chosen(f"head of {name}", heads, HEADS))


BACKBONES = {"ipt": partial(build, "ipt", IPTConfig()), "ipt-nano": partial(build, "ipt-nano", NANO)}
"""The functions that build the backbones, keyed by the backbones' names in grids."""

VARIANTS = tuple({"heads": (head,)} for head in HEADS)
"""Options that build the networks of official checkpoints, each of which is for a single task."""
