"""DAT transcribed from its equations: explicit products, softmax over cyclically shifted windows, masks and bias."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbones.dat import DAT, DATConfig

Sides = tuple[int, int]


class DynamicBias(nn.Module):
    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        p = c // 4 // 4
        self.pos_proj = nn.Linear(2, p)
        self.pos1 = nn.Sequential(nn.LayerNorm(p), nn.ReLU(), nn.Linear(p, p))
        self.pos2 = nn.Sequential(nn.LayerNorm(p), nn.ReLU(), nn.Linear(p, p))
        self.pos3 = nn.Sequential(nn.LayerNorm(p), nn.ReLU(), nn.Linear(p, heads))

    def forward(self, offsets: Tensor) -> Tensor:
        offsets = offsets.to(self.pos_proj.weight.dtype)
        biases: Tensor = self.pos3(self.pos2(self.pos1(self.pos_proj(offsets))))
        return biases


def windows(x: Tensor, sides: Sides) -> Tensor:
    (n, height, width, c), (h, w) = x.shape, sides
    return x.view(n, height // h, h, width // w, w, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, h * w, c)


@lru_cache(maxsize=8)
def mask(height: int, width: int, sides: Sides) -> Tensor:
    """Return a windows×1×L×L mask: 0 between positions that are neighbours in the image, and -100 elsewhere."""
    numbers = torch.zeros(1, height, width, 1)
    region = 0
    for rows in (slice(-sides[0]), slice(-sides[0], -(sides[0] // 2)), slice(-(sides[0] // 2), None)):
        for columns in (slice(-sides[1]), slice(-sides[1], -(sides[1] // 2)), slice(-(sides[1] // 2), None)):
            numbers[:, rows, columns], region = region, region + 1
    places = windows(numbers, sides).squeeze(-1)
    return torch.where(places[:, :, None] == places[:, None], 0.0, -100.0)[:, None]


class Windows(nn.Module):
    def __init__(self, c: int, heads: int, sides: Sides, *, shifted: bool) -> None:
        super().__init__()
        self.heads, self.sides, self.shifted, self.pos = heads, sides, shifted, DynamicBias(c, heads)
        h, w = sides
        self.offsets = torch.tensor([[float(y), float(x)] for y in range(1 - h, h) for x in range(1 - w, w)])
        rows, columns = torch.arange(h).repeat_interleave(w), torch.arange(w).repeat(h)
        down, right = rows[:, None] - rows, columns[:, None] - columns
        self.index = (down + h - 1) * (2 * w - 1) + right + w - 1

    def forward(self, qkv: list[Tensor]) -> Tensor:
        n, height, width, c = qkv[0].shape
        shift = (self.sides[0] // 2, self.sides[1] // 2)
        if self.shifted:
            qkv = [part.roll((-shift[0], -shift[1]), (1, 2)) for part in qkv]
        parts = [windows(part, self.sides) for part in qkv]
        q, k, v = (part.view(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in parts)
        logits = (q * (c // self.heads) ** -0.5) @ k.mT
        logits = logits + self.pos(self.offsets)[self.index.flatten()].view(*self.index.shape, -1).permute(2, 0, 1)
        if self.shifted:
            logits = logits + mask(height, width, self.sides).repeat(n, 1, 1, 1)
        x = (logits.softmax(-1) @ v).transpose(1, 2)
        h, w = self.sides
        x = x.reshape(n, height // h, width // w, h, w, c).permute(0, 1, 3, 2, 4, 5).reshape(n, height, width, c)
        rolled: Tensor = x.roll(shift, (1, 2)) if self.shifted else x
        return rolled


class Mixer(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.dwconv = nn.Sequential(nn.Conv2d(c, c, 3, padding=1, groups=c), nn.BatchNorm2d(c), nn.GELU())
        self.channel_interaction = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(c, c // 8, 1),
            nn.BatchNorm2d(c // 8),
            nn.GELU(),
            nn.Conv2d(c // 8, c, 1),
        )
        self.spatial_interaction = nn.Sequential(
            nn.Conv2d(c, c // 16, 1), nn.BatchNorm2d(c // 16), nn.GELU(), nn.Conv2d(c // 16, 1, 1)
        )


class SpatialMixer(Mixer):
    def __init__(self, c: int, heads: int, sides: Sides, *, shifted: bool) -> None:
        super().__init__(c)
        self.multiple = max(sides)
        self.attns = nn.ModuleList(Windows(c // 2, heads // 2, each, shifted=shifted) for each in (sides, sides[::-1]))

    def forward(self, x: Tensor) -> Tensor:
        height, width, c = x.shape[1:]
        q, k, v = self.qkv(x).chunk(3, -1)
        more = (0, 0, 0, -width % self.multiple, 0, -height % self.multiple)
        padded = [functional.pad(part, more) for part in (q, k, v)]
        halves = [[part[..., : c // 2] for part in padded], [part[..., c // 2 :] for part in padded]]
        attended = torch.cat([part(half) for part, half in zip(self.attns, halves, strict=True)], -1)
        attended = attended[:, :height, :width].permute(0, 3, 1, 2)
        convolved = self.dwconv(v.permute(0, 3, 1, 2).contiguous())
        channels, places = self.channel_interaction(convolved), self.spatial_interaction(attended)
        summed = attended * torch.sigmoid(channels) + torch.sigmoid(places) * convolved
        projected: Tensor = self.proj(summed.permute(0, 2, 3, 1))
        return projected


class ChannelMixer(Mixer):
    def __init__(self, c: int, heads: int) -> None:
        super().__init__(c)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, c = x.shape
        parts = self.qkv(x).reshape(n, height * width, 3, len(self.temperature), -1).permute(2, 0, 3, 4, 1)
        q, k = (functional.normalize(part, dim=-1) for part in parts[:2])
        weights = (q @ k.mT * self.temperature).softmax(-1)
        attended = (weights @ parts[2]).reshape(n, c, height, width)
        convolved = self.dwconv(parts[2].reshape(n, c, height, width))
        channels, places = self.channel_interaction(attended), self.spatial_interaction(convolved)
        summed = attended * torch.sigmoid(places) + convolved * torch.sigmoid(channels)
        projected: Tensor = self.proj(summed.permute(0, 2, 3, 1))
        return projected


class Gate(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.LayerNorm(c), nn.Conv2d(c, c, 3, padding=1, groups=c)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        gated: Tensor = a * self.conv(self.norm(b).permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
        return gated


class Feed(nn.Module):
    def __init__(self, c: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.sg, self.fc2 = nn.Linear(c, hidden), Gate(hidden // 2), nn.Linear(hidden // 2, c)

    def forward(self, x: Tensor) -> Tensor:
        fed: Tensor = self.fc2(self.sg(functional.gelu(self.fc1(x))))
        return fed


class PlainBlock(nn.Module):
    def __init__(self, config: DATConfig, group: int, index: int) -> None:
        super().__init__()
        c, heads = config.width, config.attention_heads
        shifted = index % 4 == 0 if group % 2 else index > 0 and (index - 2) % 4 == 0
        self.norm1, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
        spatial = index % 2 == 0
        self.attn = SpatialMixer(c, heads, config.window, shifted=shifted) if spatial else ChannelMixer(c, heads)
        self.ffn = Feed(c, config.expansion * c)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        summed: Tensor = x + self.ffn(self.norm2(x))
        return summed


def convolutions(config: DATConfig) -> nn.Module:
    c, narrow = config.width, config.width // 4
    if not config.light:
        return nn.Conv2d(c, c, 3, padding=1)
    first, last = nn.Conv2d(c, narrow, 3, padding=1), nn.Conv2d(narrow, c, 3, padding=1)
    return nn.Sequential(first, nn.LeakyReLU(0.2), nn.Conv2d(narrow, narrow, 1), nn.LeakyReLU(0.2), last)


class Group(nn.Module):
    def __init__(self, config: DATConfig, number: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(PlainBlock(config, number, index) for index in range(config.depth)))
        self.conv = convolutions(config)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.conv(self.blocks(x).permute(0, 3, 1, 2).contiguous())
        return x + output.permute(0, 2, 3, 1)


class PlainDAT(nn.Module):
    """A plain DAT with the size and weights of `network`.

    Args:
        network: the network to compare with.
    """

    def __init__(self, network: DAT) -> None:
        super().__init__()
        config, scale, c = network.config, network.scale, network.config.width
        self.mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(3, 1, 1)
        self.light, self.conv_first = config.light, nn.Conv2d(3, c, 3, padding=1)
        self.before_RG = nn.Sequential(nn.Identity(), nn.LayerNorm(c))
        self.layers = nn.Sequential(*(Group(config, number) for number in range(config.groups)))
        self.norm, self.conv_after_body = nn.LayerNorm(c), convolutions(config)
        if config.light:
            self.upsample = nn.Sequential(nn.Conv2d(c, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        else:
            self.conv_before_upsample = nn.Sequential(nn.Conv2d(c, 64, 3, padding=1), nn.LeakyReLU(0.01))
            steps = [2, 2] if scale == 4 else [scale]
            stages = ([nn.Conv2d(64, 64 * s**2, 3, padding=1), nn.PixelShuffle(s)] for s in steps)
            self.upsample = nn.Sequential(*(module for stage in stages for module in stage))
            self.conv_last = nn.Conv2d(64, 3, 3, padding=1)
        self.load_state_dict(network.official_state_dict())
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        first = self.conv_first(images - self.mean)
        x = self.layers(self.before_RG(first.permute(0, 2, 3, 1)))
        x = first + self.conv_after_body(self.norm(x).permute(0, 3, 1, 2).contiguous())
        if not self.light:
            x = self.conv_before_upsample(x)
        x = self.upsample(x)
        restored: Tensor = (x if self.light else self.conv_last(x)) + self.mean
        return restored
