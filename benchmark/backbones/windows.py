"""Swin blocks over N×H×W×C features, with attention inside rectangular windows that may be shifted.

Shifted windows follow Swin (Liu et al., ICCV 2021, §3.2). Half of the channels use horizontal windows, the other half
vertical windows, as in CSWin (Dong et al., CVPR 2022, §3.2).
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import AdapterHooks, Branch, PromptHooks, Site
from petlir.benchmark.backbones.packing import PROJECTIONS

Sides = tuple[int, int]
"""Height and width."""

Prompts = tuple[Tensor, Tensor]
"""1×K×C keys and 1×K×C values that are appended to the keys and values of every window."""

APART = -100.0
"""The value added to the attention logit of two tokens that share a window only because of the cyclic shift."""


class WindowAttention(nn.Module):
    """Multi-head attention inside windows, with locally enhanced positions (LePE).

    LePE is a depthwise convolution of the attention values inside each window (CSWin, §3.3).

    Args:
        width: number of channels of query, key and value.
        heads: number of attention heads.
        window: height and width of a window.
        shifted: whether the windows are shifted by half their sides.
    """

    def __init__(self, width: int, heads: int, window: Sides, *, shifted: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shifted = heads, window, shifted
        self.lepe = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, prompts: Prompts | None = None) -> Tensor:
        """Return attended N×H×W×C features; H and W are multiples of the window's height and width."""
        count, height, width, _ = value.shape
        shift, mask = (self.window[0] // 2, self.window[1] // 2), None
        if self.shifted:
            back = (-shift[0], -shift[1])
            query, key, value = (features.roll(back, (1, 2)) for features in (query, key, value))
            mask = shift_mask((height, width), self.window, value.device, value.dtype).repeat(count, 1, 1, 1)
        query, key, value = (split(features, self.window) for features in (query, key, value))
        gathered = self.attend(query, key, value, mask, prompts) + self.position(value)
        joined = join(gathered, self.window, (height, width))
        return joined.roll(shift, (1, 2)) if self.shifted else joined

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, prompts: Prompts | None) -> Tensor:
        """Apply attention inside M×L×C windows, with an M×1×L×L `mask`; every token also attends to all prompts."""
        if prompts is not None:
            added = [tokens.expand(len(key), -1, -1) for tokens in prompts]
            key, value = torch.cat([key, added[0]], 1), torch.cat([value, added[1]], 1)
            mask = None if mask is None else functional.pad(mask, (0, added[0].shape[1]))
        q, k, v = (tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2) for tokens in (query, key, value))
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

    def position(self, value: Tensor) -> Tensor:
        """Return the values that LePE adds to M×L×C windows; each window is zero-padded."""
        count, _, width = value.shape
        enhanced: Tensor = self.lepe(value.reshape(count, *self.window, width).permute(0, 3, 1, 2))
        return enhanced.permute(0, 2, 3, 1).flatten(1, 2)


def split(features: Tensor, window: Sides) -> Tensor:
    """Split N×H×W×C features into windows (N·H/h·W/w)×(h·w)×C, image by image and in reading order."""
    count, height, width, channels = features.shape
    h, w = window
    grid = features.reshape(count, height // h, h, width // w, w, channels)
    return grid.transpose(2, 3).reshape(-1, h * w, channels)


def join(windows: Tensor, window: Sides, sides: Sides) -> Tensor:
    """Invert `split`: return N×H×W×C features with height and width `sides`."""
    (height, width), (h, w) = sides, window
    grid = windows.reshape(-1, height // h, width // w, h, w, windows.shape[-1])
    return grid.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])


@lru_cache(maxsize=8)
def shift_mask(sides: Sides, window: Sides, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the attention mask for tokens that share a window only because the cyclic shift joined opposite edges.

    Returns:
        One mask per window, (H/h·W/w)×1×(h·w)×(h·w), with values 0 and -100; cached for each image size.
    """
    with torch.inference_mode(False):  # a mask made in inference mode could not be used in training
        rows = torch.arange(sides[0], device=device) >= sides[0] - window[0] // 2
        columns = torch.arange(sides[1], device=device) >= sides[1] - window[1] // 2
        region = 2 * rows[:, None] + columns.int()
        places = split(region[None, :, :, None], window)
        return APART * (places != places.transpose(1, 2)).unsqueeze(1).to(dtype)


def mirrored(images: Tensor, multiple: int) -> Tensor:
    """Pad images by reflection at the right and bottom, repeatedly if necessary, to multiples of `multiple`."""
    for dimension in (-2, -1):
        side = images.shape[dimension]
        if side % multiple:
            places = torch.arange(-(-side // multiple) * multiple, device=images.device) % (2 * side)
            images = images.index_select(dimension, torch.minimum(places, 2 * side - 1 - places))
    return images


class Mlp(nn.Module):
    """A feed-forward layer with a depthwise 5×5 convolution between two GELUs."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×H×W×C features, in the same shape."""
        hidden = functional.gelu(self.fc1(features)).permute(0, 3, 1, 2)
        mixed: Tensor = self.dwconv(hidden).permute(0, 2, 3, 1)
        return cast("Tensor", self.fc2(functional.gelu(mixed)))


class SwinBlock(nn.Module):
    """Attention in horizontal and vertical windows, each on half of the channels, and an MLP, each after a norm.

    Args:
        width: number of channels of the features.
        heads: number of attention heads for each half of the channels.
        window: height and width of a horizontal window; vertical windows are transposed.
        hidden: number of channels inside the feed-forward layer.
        shifted: whether the windows are shifted by half their sides.
        drop_path: fraction of the images for which a branch's output is dropped in training.
    """

    def __init__(
        self, width: int, heads: int, window: Sides, hidden: int, *, shifted: bool = False, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in PROJECTIONS)
        self.attns = nn.ModuleList(
            WindowAttention(width // 2, heads, window, shifted=shifted) for window in (window, window[::-1])
        )
        self.proj = nn.Linear(width, width)
        self.mlp = Mlp(width, hidden)
        self.mixer_hooks, self.mlp_hooks = PromptHooks(), AdapterHooks()

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×H×W×C features, in the same shape."""
        prompts = self.mixer_hooks.context(self.norm1)
        features = features + self.kept(self.mixer_hooks(lambda x: self.attend(x, prompts), self.norm1, features))
        return features + self.kept(self.mlp_hooks(self.mlp, self.norm2, features))

    def attend(self, features: Tensor, prompts: Tensor | None = None) -> Tensor:
        """Apply attention to N×H×W×C features, with optional 1×K×C prompts, inside horizontal and vertical windows."""
        halves = _halves(self.query(features), self.key(features), self.value(features))
        joining = [None, None] if prompts is None else _halves(self.key(prompts), self.value(prompts))
        gathered = [part(*half, more) for part, half, more in zip(self.attns, halves, joining, strict=True)]
        return cast("Tensor", self.proj(torch.cat(gathered, dim=-1)))

    def kept(self, added: Tensor) -> Tensor:
        """Drop a branch's output for a fraction of images in training (stochastic depth, Huang et al., ECCV 2016)."""
        if not self.training or self.drop_path == 0:
            return added
        return added * functional.dropout(added.new_ones(len(added), 1, 1, 1), self.drop_path)

    def branches(self) -> tuple[Branch, Branch]:
        """Return the mixer branch and the mlp branch, into which methods insert modules."""
        mixer = (*((name, name) for name in PROJECTIONS), ("out", "proj"))
        mlp = (("up", "mlp.fc1"), ("down", "mlp.fc2"))
        return (
            Branch("mixer", self.mixer_hooks, Site("norm", self, "norm1"), tuple(Site(n, self, at) for n, at in mixer)),
            Branch("mlp", self.mlp_hooks, Site("norm", self, "norm2"), tuple(Site(n, self, at) for n, at in mlp)),
        )


def _halves(*features: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the first halves of the channels of all tensors, then the second halves."""
    return list(zip(*(part.chunk(2, dim=-1) for part in features), strict=True))


class Stage(nn.Module):
    """A group of blocks with a skip connection around the group."""

    def __init__(self, blocks: list[SwinBlock]) -> None:
        super().__init__()
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})

    @property
    def blocks(self) -> nn.Module:
        """The blocks."""
        return self.residual_group["blocks"]

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for N×H×W×C features, in the same shape."""
        output = features
        for block in self.blocks.children():
            output = block(output)
        return features + output


class ChannelsLast:
    """The layout of N×H×W×C features as a map."""

    def to_map(self, features: Tensor) -> Tensor:
        """Return the features as N×C×H×W."""
        return features.permute(0, 3, 1, 2)

    def from_map(self, image: Tensor) -> Tensor:
        """Return the map as N×H×W×C."""
        return image.permute(0, 2, 3, 1)
