"""Methods that break one point of the contract each by what they train, freeze or share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block
from petlir.benchmark.layers.pointwise import on_maps
from tests.contract.sound import Beside, Sound, first

# trains what it says


@dataclass(frozen=True)
class Nothing(Sound):
    """A method that declares that it trains but has nothing to train."""

    def adapt(self, backbone: Backbone) -> None:
        pass


@dataclass(frozen=True)
class Baseline(Sound):
    """A method that trains although it declares that it does not."""

    trains = False


class UnfreezesLater(Beside):
    """An inserted module that freezes its own weight in its first training step."""

    def forward(self, features: Tensor) -> Tensor:
        output = super().forward(features)
        if self.training:
            self.layer.get_parameter("weight").requires_grad_(False)
        return output


class GrowsLater(Beside):
    """An inserted module that creates a parameter in its first forward pass."""

    def forward(self, features: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Parameter(torch.ones(1))
        return super().forward(features) * self.late


class Lazy(Beside):
    """An inserted module whose weight gets its shape in the first forward pass."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.layer = nn.LazyConv2d(block.width, 1) if on_maps(block) else nn.LazyLinear(block.width)


class Complex(Beside):
    """An inserted module with complex factors, each of which counts as one parameter but holds two numbers."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.factor = nn.Parameter(torch.ones(1, dtype=torch.complex64))

    def forward(self, features: Tensor) -> Tensor:
        return (super().forward(features) * self.factor).real.to(features.dtype)


# gradients reach all


class Unused(Beside):
    """An inserted module with an unused parameter."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.unused = nn.Parameter(torch.zeros(3))


class Detaches(Beside):
    """An inserted module with a gate that is detached."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.gate = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.gate.detach()


@dataclass(frozen=True)
class ExemptsAll(Sound):
    """A method that declares that no parameter has a gradient, although its gates have an effect."""

    module = Detaches

    def zero_grad_parameters(self) -> tuple[str, ...]:
        return ("",)


# frozen weights stay


@dataclass(frozen=True)
class ScalesFrozen(Sound):
    """A method that changes a frozen weight in `adapt`."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        with torch.no_grad():
            next(backbone.blocks()).norms[0].module.get_parameter("weight").mul_(1 + 1e-6)


class Drifts(Beside):
    """An inserted module that changes one of its own frozen parameters during training."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.frozen.data += 1
        return super().forward(features)


class MovesNorm(Beside):
    """An inserted module that changes a frozen weight in evaluation."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.frozen = [block.mlp.norm.module.get_parameter("weight")]

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            with torch.no_grad():
                self.frozen[0].mul_(1.01)
        return super().forward(features)

    def merged(self) -> nn.Module:
        return self.layer


# unfreezes what it says


@dataclass(frozen=True)
class Leaks(Sound):
    """A method that makes a frozen weight of the backbone trainable without declaring it."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        next(backbone.blocks()).mlp.sites[0].module.requires_grad_(True)


@dataclass(frozen=True)
class UnfreezesNothing(Sound):
    """A method that declares that it unfreezes weights but does not."""

    unfreezes = True


# shares what it says


@dataclass(frozen=True)
class SharesModule(Sound):
    """A method that inserts one module at several places."""

    def adapt(self, backbone: Backbone) -> None:
        one = Beside(next(backbone.blocks()))
        for block in backbone.blocks():
            block.mlp.parallel(one)


@dataclass(frozen=True)
class SharesTensor(Sound):
    """A method whose inserted modules have one parameter in common."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        first, *others = (block.mlp.hooks.get_submodule("beside.0.layer") for block in backbone.blocks())
        for layer in others:
            layer.weight = first.weight


@dataclass(frozen=True)
class SharesMemory(SharesTensor):
    """A method whose inserted modules have parameters that occupy the same memory."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        for block in backbone.blocks():
            layer = block.mlp.hooks.get_submodule("beside.0.layer")
            layer.weight = nn.Parameter(layer.get_parameter("weight").detach())


@dataclass(frozen=True)
class OverlappingViews(Sound):
    """A method with two inserted modules whose biases are overlapping views of one vector."""

    shared = True

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        one, other = list(backbone.blocks())[:2]
        vector = torch.zeros(one.width + 1)
        for block, window in ((one, vector[:-1]), (other, vector[1:])):
            layer = block.mlp.hooks.get_submodule("beside.0.layer")
            layer.bias = nn.Parameter(window)


@dataclass(frozen=True)
class BufferOnWeight(Sound):
    """A method whose inserted module has a buffer in the memory of one of its trained parameters."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        module = first(backbone)
        module.copy = nn.Buffer(module.layer.get_parameter("bias").detach())


LAYERS: dict[str, nn.Module] = {}


@dataclass(frozen=True)
class SharedByNetworks(Sound):
    """A method that inserts the same layers into every network."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        for block in backbone.blocks():
            module = block.mlp.hooks.get_submodule("beside.0")
            module.layer = LAYERS.setdefault(block.name, module.get_submodule("layer"))


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "trains what it says": [Nothing, Baseline, UnfreezesLater, GrowsLater, Lazy, Complex],
    "gradients reach all": [Unused, ExemptsAll],
    "frozen weights stay": [ScalesFrozen, Drifts, MovesNorm],
    "unfreezes what it says": [Leaks, UnfreezesNothing],
    "shares what it says": [
        SharesModule,
        SharesTensor,
        SharesMemory,
        OverlappingViews,
        BufferOnWeight,
        SharedByNetworks,
    ],
}
