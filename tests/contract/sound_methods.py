"""Methods that satisfy every point of the contract, but that a stricter contract would wrongly reject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from petlir.benchmark.backbone import Backbone, Block, OnMap
from petlir.benchmark.layers.dropout import Dropout
from petlir.benchmark.layers.pointwise import on_maps, pointwise
from tests.contract.sound import Beside, Sound


class LowRankUpdate(nn.Module):
    """A parametrization that adds the product of two low-rank matrices to a weight."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight[0].numel()))
        self.up = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


@dataclass(frozen=True)
class ParametrizedLoRA(Sound):
    """LoRA implemented with `torch.nn.utils.parametrize`."""

    rank: int = 2
    size: ClassVar[str | None] = "rank"

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            module = block.mlp.sites[0].module
            update = LowRankUpdate(module.get_parameter("weight"), self.rank)
            parametrize.register_parametrization(module, "weight", update)


@dataclass(frozen=True)
class ConvolutionOnMaps(Sound):
    """A method that inserts a depthwise convolution on tokens or maps."""

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            convolution = nn.Conv2d(block.width, block.width, 3, padding=1, groups=block.width)
            for parameter in convolution.parameters():
                nn.init.zeros_(parameter)
            block.mlp.parallel(OnMap(convolution, block.layout))


class Side(nn.Module):
    """A small network parallel to the whole backbone, at half the resolution."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.first, self.last = nn.Conv2d(3, 4, 3, 2, padding=1), nn.Conv2d(4, 3, 1, bias=False)
        self.rectify = nn.ReLU(inplace=True)
        nn.init.zeros_(self.last.weight)

    def forward(self, images: Tensor) -> Tensor:
        size = [self.scale * side for side in images.shape[2:]]
        return functional.interpolate(self.last(self.rectify(self.first(images))), size)


@dataclass(frozen=True)
class SideNetwork(Sound):
    """A method that adds the output of a side network to the restored image."""

    def adapt(self, backbone: Backbone) -> None:
        side = Side(backbone.heads[str(backbone.head_in_use)])
        backbone.side = side
        backbone.register_forward_hook(lambda module, inputs, output: output + side(inputs[0]))


class Gate(Beside):
    """A module whose update is gated by the mean and the standard deviation of the image's features."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.layout = block.layout
        self.gate = nn.Linear(2, 1)

    def forward(self, features: Tensor) -> Tensor:
        image = self.layout.to_map(features).flatten(1)
        statistics = torch.stack([image.mean(1), (image.var(1) + 1e-6).sqrt()], 1)
        gate = self.gate(statistics).sigmoid().view(-1, *[1] * (features.dim() - 1))
        gated: Tensor = super().forward(features) * gate
        return gated


@dataclass(frozen=True)
class GatedByStatistics(Sound):
    """A method whose update is gated by statistics of the image."""

    module: ClassVar[type[Beside]] = Gate

    def supports(self, backbone: Backbone) -> str | None:
        return "attends in windows" if backbone.window is None and backbone.name.startswith("edt") else None


class Normalised(Beside):
    """A module with running statistics and dropout."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.layout = block.layout
        self.norm, self.dropout = nn.BatchNorm2d(block.width), Dropout(0.1)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(self.dropout(self.layout.from_map(self.norm(self.layout.to_map(features)))))


@dataclass(frozen=True)
class KeepsStatistics(Sound):
    """A method with buffers that are stored: running statistics."""

    module: ClassVar[type[Beside]] = Normalised


class FixedBasis(Beside):
    """A module that uses a random projection drawn anew, from a fixed seed, in every network."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        basis = torch.randn(block.width, generator=torch.Generator().manual_seed(7))
        self.basis = nn.Buffer(basis.view(-1, 1, 1) if on_maps(block) else basis, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features * self.basis)


@dataclass(frozen=True)
class DrawsAgain(Sound):
    """A method with a buffer that is not stored: a random basis from a fixed seed."""

    module: ClassVar[type[Beside]] = FixedBasis


@dataclass(frozen=True)
class Tied(Sound):
    """A method that shares one layer among all blocks of the same width, and declares it."""

    shared = True

    def adapt(self, backbone: Backbone) -> None:
        layers: dict[int, Beside] = {}
        for block in backbone.blocks():
            block.mlp.parallel(layers.setdefault(block.width, Beside(block)))


@dataclass(frozen=True)
class TunesNorms(Sound):
    """A method that trains norms of the backbone, and declares it."""

    unfreezes = True

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            for site in block.norms:
                site.module.requires_grad_(True)


@dataclass(frozen=True)
class SortedSites(Sound):
    """A method that collects the names of sites in a set and sorts them before use."""

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            for name in sorted({site.name for site in block.mlp.sites}):
                (site,) = block.mlp.projections(name)
                layer = site.module.get_parameter("weight")
                update = LowRankUpdate(layer, 1)
                parametrize.register_parametrization(site.module, "weight", update)


class Folding(nn.Module):
    """A projection with one trained factor per output; `merged` multiplies the weights by these factors."""

    def __init__(self, base: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.base = base
        self.factor = nn.Parameter(torch.ones(len(base.weight)))

    def forward(self, features: Tensor) -> Tensor:
        factor = self.factor if self.base.weight.dim() == 2 else self.factor.view(-1, 1, 1)
        output: Tensor = self.base(features) * factor
        return output

    def merged(self) -> nn.Module:
        outputs, inputs, *kernel = self.base.weight.shape
        folded: nn.Module = nn.Conv2d(inputs, outputs, 1) if kernel else nn.Linear(inputs, outputs)
        for name in ("weight", "bias"):
            value = self.base.get_parameter(name).detach()
            setattr(folded, name, nn.Parameter(value * self.factor.detach().view(-1, *[1] * (value.dim() - 1))))
        return folded


@dataclass(frozen=True)
class Folds(Sound):
    """A method whose factors are merged into the projections."""

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            for site in block.mlp.sites:
                assert isinstance(site.module, nn.Linear | nn.Conv2d)
                site.replace(Folding(site.module))


class Spectrum(Beside):
    """A module that scales the frequencies of a map of any size."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.layout = block.layout
        self.mix = pointwise(block.width, block.width, maps=True)

    def forward(self, features: Tensor) -> Tensor:
        image = self.layout.to_map(features).float()
        with torch.autocast("cpu", enabled=False):
            spectrum = torch.fft.rfft2(image, norm="ortho")
            image = torch.fft.irfft2(self.mix(spectrum.abs()) * spectrum, image.shape[2:], norm="ortho")
        return super().forward(self.layout.from_map(image).to(features.dtype))


@dataclass(frozen=True)
class Frequencies(Sound):
    """A method that works on the spectrum of the map."""

    module: ClassVar[type[Beside]] = Spectrum


SOUND: dict[str, type[Sound]] = {
    kind.__name__: kind
    for kind in (
        ParametrizedLoRA,
        ConvolutionOnMaps,
        SideNetwork,
        GatedByStatistics,
        KeepsStatistics,
        DrawsAgain,
        Tied,
        TunesNorms,
        SortedSites,
        Folds,
        Frequencies,
    )
}
