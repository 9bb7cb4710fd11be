"""EDT, the Encoder-Decoder-based Transformer for low-level vision (Li et al., IJCAI 2023), of any width and depth.

Each task has a convolutional head, which encodes the image, at a quarter of its resolution if the task preserves the
image size. A body of Swin blocks, shared by all tasks, transforms the features. The tail of the task, with skips from
the head, decodes the features into a residual image. State dicts have the keys of the official release, except that
packed query, key and value projections are separate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, Block, Site, load_strictly
from petlir.benchmark.backbones.edsr import RGB_MEAN, upsampler
from petlir.benchmark.backbones.packing import apart, pack, unpack
from petlir.benchmark.backbones.windows import ChannelsLast, Stage, SwinBlock, mirrored
from petlir.benchmark.errors import PetlirError, chosen, unknown
from petlir.benchmark.paper import Paper

OFFICIAL = {"denoise_15": "dn_g15", "denoise_25": "dn_g25", "denoise_50": "dn_g50"} | {
    "derain_light": "dr_L",
    "derain_heavy": "dr_H",
}
"""Official names of heads, where they differ from the names in this project."""
HEADS = {"sr_x2": 2, "sr_x3": 3, "sr_x4": 4} | dict.fromkeys(OFFICIAL, 1)
"""The scale of each head."""
PACKED = {f".qkv.{kind}": apart(f".{kind}") for kind in ("weight", "bias")}
MASKS = ("attn_mask_h", "attn_mask_v")
UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect")
SHRINK = 4
"""The factor by which the body's features are smaller than the image for tasks that preserve the size.

Two convolutions of stride 2 in the head reduce the features by this factor.
"""


@dataclass(frozen=True)
class EDTConfig:
    """The size of an EDT; the defaults are EDT-B's.

    Attributes:
        features: number of channels of the first convolution; each of the head's two blocks doubles it.
        width: number of channels of the body.
        stages: number of groups of blocks; each group has a skip connection.
        depth: number of blocks per stage; every second block has shifted windows.
        attention_heads: number of attention heads for each half of the channels.
        window: height and width of a horizontal window; vertical windows are transposed.
        expansion: ratio of the feed-forward layers' hidden width to the width of the body.
        upsampler: `pixelshuffle`, or `pixelshuffledirect` with a single convolution to the pixels.
        drop_path: drop rate of stochastic depth at the last block, falling linearly to 0 at the first block; 0.1 in the
            official code. Stochastic depth is active only in training mode; petlir keeps a frozen network in evaluation
            mode.
    """

    features: int = 32
    width: int = 180
    stages: int = 6
    depth: int = 6
    attention_heads: int = 6
    window: tuple[int, int] = (6, 24)
    expansion: int = 2
    upsampler: str = "pixelshuffle"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        counts = (self.features, self.width, self.stages, self.depth, self.attention_heads, self.expansion)
        if len(self.window) != 2 or min(*counts, *self.window) < 1:
            raise PetlirError(f"EDT: every size must be at least 1, and a window has two sides; got {self}")
        if self.width % (2 * self.attention_heads):
            raise PetlirError(f"EDT: width {self.width} is not a multiple of 2 × {self.attention_heads} heads")
        if self.upsampler not in UPSAMPLERS:
            raise unknown("upsampler of EDT", self.upsampler, UPSAMPLERS)


class Body(nn.Module):
    """The transformer shared by all tasks."""

    def __init__(self, config: EDTConfig) -> None:
        super().__init__()
        width, total = config.width, config.stages * config.depth
        blocks = [
            SwinBlock(
                width,
                config.attention_heads,
                config.window,
                width * config.expansion,
                shifted=bool(i % config.depth % 2),
                drop_path=config.drop_path * i / max(1, total - 1),
            )
            for i in range(total)
        ]
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        self.layers = nn.ModuleList(Stage(blocks[i : i + config.depth]) for i in range(0, total, config.depth))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        self.apply(_initialise)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×C×H×W features, in the same shape."""
        tokens = self.patch_embed["norm"](features.permute(0, 2, 3, 1))
        for stage in self.layers:
            tokens = stage(tokens)
        return cast("Tensor", features + self.conv_after_body(self.norm(tokens).permute(0, 3, 1, 2)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


class ResBlock(nn.Module):
    """Two 3×3 convolutions with leaky ReLUs, parallel to a 1×1 convolution; `conv_down` halves height and width."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, down: bool = False) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.conv_2 = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)
        self.conv_down = nn.Conv2d(outputs, outputs, 4, stride=2, padding=1, bias=False) if down else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×C×H×W features, before `conv_down`."""
        hidden = functional.leaky_relu(self.conv_1(features), 0.2)
        return cast("Tensor", functional.leaky_relu(self.conv_2(hidden), 0.2) + self.shortcut(features))


class Head(nn.ModuleList):
    """The encoder of a task: a convolution, two blocks that double the channels, a convolution to the body's width."""

    def __init__(self, config: EDTConfig, scale: int) -> None:
        features, down = config.features, scale == 1
        super().__init__(
            [
                nn.Conv2d(3, features, 3, padding=1),
                ResBlock(features, features, 2 * features, down=down),
                ResBlock(2 * features, 2 * features, 4 * features, down=down),
                nn.Conv2d(4 * features, config.width, 3, padding=1),
            ]
        )

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the body's input for N×3×H×W images, and the skips in the order in which the tail reads them."""
        first, *blocks, last = self
        features: Tensor = first(images)
        skips: list[Tensor] = []
        for block in blocks:
            skips.insert(0, block(features))
            features = block.get_submodule("conv_down")(skips[0])
        return last(features), skips


class SkipBlock(nn.Module):
    """A layer that reduces the channels, and upsamples ×2 if `up`, then a block that also reads a skip."""

    def __init__(self, inputs: int, outputs: int, *, up: bool) -> None:
        super().__init__()
        if up:
            self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        else:
            self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.block = ResBlock(2 * outputs, outputs, outputs)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Return the output for N×C×H×W features and a skip with the shape of the output."""
        narrow = next(self.children())
        return cast("Tensor", self.block(torch.cat([narrow(features), skip], dim=1)))


class Tail(nn.ModuleList):
    """The decoder of a task: two blocks that also read the head's skips, then the layers that output pixels."""

    def __init__(self, config: EDTConfig, scale: int) -> None:
        features, up = config.features, scale == 1
        super().__init__(
            [
                SkipBlock(config.width, 4 * features, up=up),
                SkipBlock(4 * features, 2 * features, up=up),
                *_to_pixels(2 * features, scale, direct=config.upsampler == "pixelshuffledirect"),
            ]
        )

    def forward(self, features: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Return the residual N×3×sH×sW image for the body's features."""
        first, second, *pixels = self
        features = second(first(features, skips[0]), skips[1])
        for module in pixels:
            features = module(features)
        return features


def _to_pixels(features: int, scale: int, *, direct: bool) -> list[nn.Module]:
    if scale > 1 and direct:
        return [nn.Sequential(nn.Conv2d(features, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))]
    last = nn.Conv2d(features, 3, 3, padding=1)
    return [upsampler(features, scale), last] if scale > 1 else [last]


class EDT(Backbone):
    """The Encoder-Decoder-based Transformer, with a head and a tail per task.

    Args:
        name: name of the network in grids.
        config: size of the network.
        heads: scale of each head, by name.
    """

    paper = Paper.from_bib(__file__, "li2023edt")
    official_tiling: ClassVar[str] = "extra-window"
    task_heads: ClassVar[Mapping[str, str]] = {
        "denoise_30": "denoise_25",
        "derain_light": "derain_heavy",
        "low_light": "denoise_50",
        "sidd": "denoise_50",
        "jpeg": "denoise_25",
        "deblur": "denoise_25",
        "mixture": "denoise_50",
        "hybrid_lr4_noise30": "sr_x4",
        "hybrid_lr4_jpeg30": "sr_x4",
    }
    mean: Tensor

    def __init__(self, name: str, config: EDTConfig, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.name, self.config, self.heads, self.window = name, config, dict(heads), None
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(3, 1, 1), persistent=False)
        for head, scale in heads.items():
            self.add_module(f"head_{OFFICIAL.get(head, head)}", Head(config, scale))
            self.add_module(f"tail_{OFFICIAL.get(head, head)}", Tail(config, scale))
        self.body = Body(config)

    @classmethod
    def small(cls) -> EDT:
        """Return the small network for contract checks."""
        config = EDTConfig(features=4, width=24, stages=1, depth=3, attention_heads=2, window=(2, 4))
        return cls("edt-tiny", config, {"sr_x2": 2, "denoise_25": 1})

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore N×3×H×W images in [0, 1] of any size through `head`, of scale s, to N×3×sH×sW, not clipped.

        Images are padded by reflection to multiples of `multiple(head)`, and the output is cropped.
        """
        (height, width), scale = images.shape[-2:], self._scale(head)
        encode, decode = self._ends(head)
        images = mirrored(images, self.multiple(head))
        features, skips = encode(images - self.mean)
        added = decode(self.body(features), skips)
        if scale > 1:
            images = functional.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
        return cast("Tensor", (images + added)[..., : height * scale, : width * scale])

    def _scale(self, head: str | None) -> int:
        return list(self.heads.values())[self.head_index(head)]

    def _ends(self, head: str | None) -> tuple[nn.Module, nn.Module]:
        name = list(self.heads)[self.head_index(head)]
        official = OFFICIAL.get(name, name)
        return self.get_submodule(f"head_{official}"), self.get_submodule(f"tail_{official}")

    def blocks(self) -> Iterator[Block]:
        """Yield the Swin blocks, stage by stage."""
        for number, stage in enumerate(self.body.layers):
            owner = cast("Stage", stage).blocks
            for index, block in enumerate(owner.children()):
                branches = cast("SwinBlock", block).branches()
                site = Site("block", owner, str(index))
                yield Block(f"stage.{number}.{index}", self.config.width, branches, ChannelsLast(), site)

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the body, head and tail in use, or of all heads and tails if `head` is None."""
        yield from self.body.parameters()
        for name in self.heads if head is None else [head]:
            for end in self._ends(name):
                yield from end.parameters()

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the tail in use, or of all tails if `head` is None."""
        for name in self.heads if head is None else [head]:
            yield from self._ends(name)[1].parameters()

    def outer_norms(self) -> Iterator[Site]:
        """Yield the norm before the blocks, then the norm after them."""
        yield Site("norm", self.body.patch_embed, "norm")
        yield Site("norm", self.body, "norm")

    def multiple(self, head: str | None) -> int:
        """Return the multiple to which images are padded, so that the body's features consist of whole windows."""
        return math.lcm(*self.config.window) * (SHRINK if self._scale(head) == 1 else 1)

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict with the official keys; attention masks in the state dict are ignored."""
        load_strictly(self, unpack(state, PACKED, MASKS), f"weights for {self.name}")

    def official_state_dict(self) -> dict[str, Tensor]:
        """Return the weights as a state dict with the official keys, without attention masks."""
        return pack(self.state_dict(), PACKED)


SIZES = {
    "edt-t": EDTConfig(features=8, width=60, stages=4, upsampler="pixelshuffledirect"),
    "edt-s": EDTConfig(features=16, width=120, stages=5),
    "edt-b": EDTConfig(),
    "edt-l": EDTConfig(features=64, width=240, stages=12, attention_heads=8),
}
"""The published sizes."""
NANO = EDTConfig(features=8, width=48, stages=2, depth=2, attention_heads=2, window=(4, 12))
"""The network size for training and benchmarking in minutes on a CPU; 48×48 crops give whole windows for all heads."""
NANO_HEADS = ("sr_x2", "sr_x3", "sr_x4", "denoise_25", "denoise_50", "derain_heavy")
"""The heads of `edt-nano`; `derain_light` is deliberately not among them.

A head `derain_light` trained with an L1 loss would output its input unchanged, because the median of light rain is 0.
"""


def build(name: str, config: EDTConfig, heads: Sequence[str] = ("sr_x4",), upsampler: str | None = None) -> EDT:
    """Return an EDT with a selection of the eight heads.

    Args:
        name: name of the network in grids.
        config: size of the network.
        heads: names of the heads, in the order of the official configuration.
        upsampler: `pixelshuffle` or `pixelshuffledirect`; by default the upsampler of `config` for a single head, and
            `pixelshuffle` for several heads, as in the official configurations.

    Raises:
        PetlirError: a head or the upsampler is unknown.
    """
    picked = chosen(f"head of {name}", heads, HEADS)
    usual = config.upsampler if len(picked) == 1 else "pixelshuffle"
    return EDT(name, replace(config, upsampler=upsampler or usual), picked)


def sized(
    heads: Sequence[str] = ("sr_x4",),
    upsampler: str | None = None,
    features: int = EDTConfig.features,
    width: int = EDTConfig.width,
    stages: int = EDTConfig.stages,
    depth: int = EDTConfig.depth,
    attention_heads: int = EDTConfig.attention_heads,
    window: tuple[int, int] = EDTConfig.window,
    expansion: int = EDTConfig.expansion,
    drop_path: float = EDTConfig.drop_path,
) -> EDT:
    """Return an EDT of any size, with the options of `EDTConfig` and `build`."""
    config = EDTConfig(features, width, stages, depth, attention_heads, window, expansion, drop_path=drop_path)
    return build("edt", config, heads, upsampler)


BACKBONES = {
    "edt": sized,
    **{name: partial(build, name, config) for name, config in SIZES.items()},
    "edt-nano": partial(build, "edt-nano", NANO, heads=NANO_HEADS, upsampler="pixelshuffledirect"),
}
"""The functions that build the backbones, keyed by the backbones' names in grids."""

FAMILIES = (("sr_x2", "sr_x3", "sr_x4"), ("denoise_15", "denoise_25", "denoise_50"), ("derain_light", "derain_heavy"))
MIXED = ("sr_x2", "sr_x3", "denoise_15")
VARIANTS = tuple({"heads": heads} for heads in (*((head,) for head in HEADS), *FAMILIES, MIXED))
"""Options that build the networks of official checkpoints: for a single task, for related tasks, or for mixed tasks."""
