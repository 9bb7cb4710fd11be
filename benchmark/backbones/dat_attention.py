"""The two kinds of attention in DAT, inside windows and between channels, each parallel to a convolution of the values.

Features are N×H×W×C. Modules have the official names, so that state dicts have the official keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbones.windows import Sides

LANES = 16
"""Head dimensions are zero-padded to multiples of this number, because fused attention on a CPU is slow otherwise."""
SHORTEST = 1e-12
"""The lower bound of the norms by which queries and keys are divided in attention between channels."""


def normalised(convolution: nn.Module, norm: nn.Module, image: Tensor) -> Tensor:
    """Apply a convolution and its batch norm to N×C×H×W maps; in evaluation mode, fold the norm into the filters."""
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    if norm.training:
        return cast("Tensor", norm(convolution(image)))
    assert convolution.bias is not None and norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    bias = torch.addcmul(norm.bias, convolution.bias - norm.running_mean, gain)
    weight = convolution.weight * gain.view(-1, 1, 1, 1)
    return functional.conv2d(image, weight, bias, padding=convolution.padding, groups=convolution.groups)


class Interaction(nn.Module):
    """The common part of both kinds of attention: a convolution of the values, and gates for convolution and attention.

    Args:
        width: number of channels of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dwconv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width), nn.BatchNorm2d(width), nn.GELU()
        )
        narrow, narrower = width // 8, width // 16
        self.channel_interaction = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, narrow, 1),
            nn.BatchNorm2d(narrow),
            nn.GELU(),
            nn.Conv2d(narrow, width, 1),
        )
        self.spatial_interaction = nn.Sequential(
            nn.Conv2d(width, narrower, 1), nn.BatchNorm2d(narrower), nn.GELU(), nn.Conv2d(narrower, 1, 1)
        )

    def convolved(self, qkv: Tensor) -> Tensor:
        """Return the convolved values, N×C×H×W, from the last third of `qkv`."""
        convolution, norm, activation = self.dwconv
        values = qkv.chunk(3, -1)[2].permute(0, 3, 1, 2)
        return cast("Tensor", activation(normalised(convolution, norm, values)))

    def channel_gate(self, image: Tensor) -> Tensor:
        """Return a gate in [0, 1] for each channel of N×C×H×W maps, as N×C×1×1."""
        _, convolution, norm, activation, last = self.channel_interaction
        inside = normalised(convolution, norm, image.mean((2, 3), keepdim=True))
        return torch.sigmoid(last(activation(inside)))

    def spatial_gate(self, image: Tensor) -> Tensor:
        """Return a gate in [0, 1] for each position of N×C×H×W maps, as N×1×H×W."""
        convolution, norm, activation, last = self.spatial_interaction
        return torch.sigmoid(last(activation(normalised(convolution, norm, image))))

    def project(self, image: Tensor) -> Tensor:
        """Return the output projection of N×C×H×W maps, as N×H×W×C."""
        return cast("Tensor", self.proj(image.permute(0, 2, 3, 1)))


class PositionBias(nn.Module):
    """An MLP that maps the offset between two positions to the bias of their attention logit in each head.

    Args:
        width: number of channels of the attention.
        heads: number of attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        inner = width // 4 // 4
        self.pos_proj = nn.Linear(2, inner)
        self.pos1, self.pos2, self.pos3 = (
            nn.Sequential(nn.LayerNorm(inner), nn.ReLU(), nn.Linear(inner, outputs))
            for outputs in (inner, inner, heads)
        )

    @property
    def constant(self) -> bool:
        """True if the bias is constant: a layer norm over a single number always outputs its learned bias."""
        return self.pos_proj.weight.shape[0] == 1

    def forward(self, window: Sides) -> Tensor | None:
        """Return the heads×L×L bias for a window's L positions, or None for a constant bias, which softmax ignores."""
        if self.constant:
            return None
        (height, width), weight = window, self.pos_proj.weight
        rows, columns = (torch.arange(side, device=weight.device) for side in window)
        down, right = (torch.arange(1 - side, side, device=weight.device) for side in window)
        offsets = torch.cartesian_prod(down, right).to(weight.dtype)
        biases = self.pos3(self.pos2(self.pos1(self.pos_proj(offsets))))
        place = ((rows + height - 1)[:, None] * (2 * width - 1) + columns + width - 1).flatten()
        origin = (rows[:, None] * (2 * width - 1) + columns).flatten()
        return cast("Tensor", biases[place[:, None] - origin].permute(2, 0, 1))


class WindowAttention(nn.Module):
    """Multi-head attention inside windows, optionally shifted by half their sides.

    A grid of shifted windows cuts the image into rectangles; rectangles at the image borders are half as high or half
    as wide as a window. Attention inside these rectangles of a shifted grid is equivalent to the cyclic shift and mask
    of the official network.

    Args:
        width: number of channels of query, key and value.
        heads: number of attention heads.
        window: height and width of a window; both are even.
        shifted: whether the windows are shifted by half their sides.
    """

    def __init__(self, width: int, heads: int, window: Sides, *, shifted: bool) -> None:
        super().__init__()
        self.window, self.shifted = window, shifted
        self.pos = PositionBias(width, heads)

    def forward(self, qkv: Tensor, prompts: Tensor | None = None) -> Tensor:
        """Return N×H×W×heads×d features for N×H×W×3×heads×d `qkv`; H and W are multiples of the window's sides.

        Args:
            qkv: queries, keys and values.
            prompts: 2×heads×K×d keys and values that are appended to the keys and values of every window.
        """
        if not self.shifted:
            return self.attend(qkv, self.window, prompts)
        height, width = self.window
        return in_bands(
            lambda strip, h: in_bands(lambda part, w: self.attend(part, (h, w), prompts), strip, width, 2),
            qkv,
            height,
            1,
        )

    def attend(self, qkv: Tensor, window: Sides, prompts: Tensor | None) -> Tensor:
        """Apply attention in an unshifted grid of windows of size `window`; see `forward` for the other arguments."""
        (count, height, width, _, heads, channels), (h, w) = qkv.shape, window
        grid = qkv.view(count, height // h, h, width // w, w, 3, heads, channels).permute(5, 0, 1, 3, 6, 2, 4, 7)
        more, bias = (0, -channels % LANES), self.pos(window)
        query, key, value = functional.pad(grid, more).flatten(5, 6).flatten(1, 3)
        if prompts is not None:
            joining = functional.pad(prompts, more)[:, None].expand(-1, len(key), -1, -1, -1)
            key, value = torch.cat([key, joining[0]], 2), torch.cat([value, joining[1]], 2)
            bias = None if bias is None else functional.pad(bias, (0, prompts.shape[2]))
        bias = None if bias is None else bias.to(query.dtype)
        gathered = functional.scaled_dot_product_attention(query, key, value, bias, scale=channels**-0.5)
        rows = gathered[..., :channels].reshape(count, height // h, width // w, heads, h, w, channels)
        return rows.permute(0, 1, 4, 2, 5, 3, 6).reshape(count, height, width, heads, channels)


def in_bands(attend: Callable[[Tensor, int], Tensor], features: Tensor, side: int, axis: int) -> Tensor:
    """Apply `attend` to bands of width `side` along an axis, with a band of half the width at each end."""
    half, length = side // 2, features.shape[axis]
    first, core, last = features.split_with_sizes([half, length - side, half], axis)
    ends = attend(torch.cat([first, last], axis), half)
    if length == side:
        return ends
    first, last = ends.chunk(2, axis)
    return torch.cat([first, attend(core, side), last], axis)


class SpatialAttention(Interaction):
    """Attention inside windows: half of the heads use horizontal windows, the other half vertical windows.

    Args:
        width: number of channels of the features.
        heads: number of attention heads.
        window: height and width of a horizontal window; vertical windows are transposed.
        shifted: whether the windows are shifted by half their sides.
    """

    def __init__(self, width: int, heads: int, window: Sides, *, shifted: bool) -> None:
        super().__init__(width)
        self.heads, self.multiple = heads, max(window)
        self.attns = nn.ModuleList(
            WindowAttention(width // 2, heads // 2, sides, shifted=shifted) for sides in (window, window[::-1])
        )

    def forward(self, normed: Tensor, prompts: Tensor | None = None) -> Tensor:
        """Apply attention to normed N×H×W×C features, with optional 1×K×C prompts."""
        qkv = self.qkv(normed)
        joining = None if prompts is None else self.by_heads(self.qkv(prompts))[0].permute(1, 2, 0, 3)[1:]
        attended, convolved = self.attend(qkv, joining).permute(0, 3, 1, 2), self.convolved(qkv)
        return self.project(attended * self.channel_gate(convolved) + convolved * self.spatial_gate(attended))

    def attend(self, qkv: Tensor, prompts: Tensor | None) -> Tensor:
        """Return attended N×H×W×C features for N×H×W×3C queries, keys and values.

        Features are zero-padded at the bottom and right to whole windows; padded positions take part in attention, as
        in the official network.

        Args:
            qkv: queries, keys and values.
            prompts: 2×heads×K×d keys and values that are appended to the keys and values of every window.
        """
        height, width = qkv.shape[1:3]
        down, right = -height % self.multiple, -width % self.multiple
        if down or right:
            qkv = functional.pad(qkv, (0, 0, 0, right, 0, down))
        joining = (None, None) if prompts is None else prompts.chunk(2, 1)
        halves = zip(self.attns, self.by_heads(qkv).chunk(2, -2), joining, strict=True)
        gathered = torch.cat([part(half, more) for part, half, more in halves], -2)
        return gathered[:, :height, :width].flatten(-2)

    def by_heads(self, qkv: Tensor) -> Tensor:
        """Split the last axis, of length 3C, into 3×heads×d."""
        return qkv.view(*qkv.shape[:-1], 3, self.heads, qkv.shape[-1] // (3 * self.heads))


class ChannelAttention(Interaction):
    """Attention between the channels of each head, over the whole image.

    Args:
        width: number of channels of the features.
        heads: number of attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def reset_parameters(self) -> None:
        """Set the temperature to its initial value."""
        nn.init.ones_(self.temperature)

    def forward(self, normed: Tensor) -> Tensor:
        """Apply attention between the channels of normed N×H×W×C features."""
        qkv = self.qkv(normed)
        attended, convolved = self.attend(qkv).permute(0, 3, 1, 2), self.convolved(qkv)
        return self.project(attended * self.spatial_gate(convolved) + convolved * self.channel_gate(attended))

    def attend(self, qkv: Tensor) -> Tensor:
        """Return attended N×H×W×C features for N×H×W×3C queries, keys and values.

        One matrix product serves all heads; its entries between channels of different heads are masked.
        """
        tokens, width, heads = qkv.flatten(1, 2), qkv.shape[-1] // 3, len(self.temperature)
        query, key, value = tokens.chunk(3, -1)
        # pow and sum are used because autocast keeps them in float32
        inverse = tokens[..., : 2 * width].pow(2).sum(1).clamp_min(SHORTEST**2).rsqrt()
        query_scale, key_scale = inverse[:, None].chunk(2, -1)
        head = torch.arange(heads, device=qkv.device).repeat_interleave(width // heads)
        cosines = (query * query_scale).mT @ key * key_scale
        logits = cosines * self.temperature.flatten()[head][:, None]
        weights = logits.masked_fill(head[:, None] != head, -torch.inf).softmax(-1)
        return (value @ weights.mT).view(*qkv.shape[:3], width)
