"""Small backbones: a convolutional one, to test methods on maps, and one that treats every pixel separately."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import AdapterHooks, Backbone, Block, Branch, Site


class Norm(nn.Module):
    """Normalisation over the channels of a map, as in NAFNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return scaled * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class ConvBlock(nn.Module):
    """A block with a gated depthwise mixer and an MLP of 1×1 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.value, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.up, self.down = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)
        self.mixer, self.mlp = AdapterHooks(), AdapterHooks()

    def mix(self, features: Tensor) -> Tensor:
        mixed: Tensor = self.out(torch.tanh(self.depthwise(self.value(features))))
        return mixed

    def feed(self, features: Tensor) -> Tensor:
        fed: Tensor = self.down(torch.relu(self.up(features)))
        return fed

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.mixer(self.mix, self.norm1, features)
        result: Tensor = features + self.mlp(self.feed, self.norm2, features)
        return result


class MapLayout:
    """The layout of features that are already maps, so that no conversion is needed."""

    def to_map(self, features: Tensor) -> Tensor:
        return features

    def from_map(self, image: Tensor) -> Tensor:
        return image


class ConvNet(Backbone):
    """A network of two convolutional blocks between two convolutions, for any input size."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.name, self.heads, self.window = "conv-tiny", {"restore": 1}, None
        self.mean = nn.Buffer(torch.full((3, 1, 1), 0.4))
        self.width = width
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.body = nn.ModuleList([ConvBlock(width), ConvBlock(width)])

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        self.head_index(head)
        features = self.first(images - self.mean)
        for block in self.body:
            features = block(features)
        restored: Tensor = self.last(features) + images
        return restored

    def blocks(self) -> Iterator[Block]:
        for index, layer in enumerate(self.body):
            assert isinstance(layer, ConvBlock)
            mixer = Branch("mixer", layer.mixer, _site(layer, "norm1"), (_site(layer, "value"), _site(layer, "out")))
            mlp = Branch("mlp", layer.mlp, _site(layer, "norm2"), (_site(layer, "up"), _site(layer, "down")))
            site = Site("block", self.body, str(index))
            yield Block(f"body.{index}", self.width, (mixer, mlp), MapLayout(), site)

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        yield from self.parameters()

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        yield from self.last.parameters()


class Pointwise(Backbone):
    """A network with a receptive field of one pixel: it transforms each pixel by itself and repeats it `scale` times.

    Attributes:
        seen: the shapes of all inputs.
    """

    def __init__(self, window: int | None = 20) -> None:
        super().__init__()
        self.name, self.window = "pointwise", window
        self.heads = {"same": 1, "double": 2, "triple": 3}
        self.gain = nn.Parameter(torch.tensor(0.7))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        scale = list(self.heads.values())[self.head_index(head)]
        self.seen.append(tuple(images.shape))
        changed = images.square() * self.gain + 0.1
        return changed.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    def blocks(self) -> Iterator[Block]:
        return iter(())

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        return self.parameters()


def _site(layer: nn.Module, name: str) -> Site:
    return Site(name, layer, name)
