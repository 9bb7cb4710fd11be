"""Methods that break one point on weights each: training, freezing or sharing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block
from tests.contract.sound import Beside, Sound, first

# trains what it says


@dataclass(frozen=True)
class Nothing(Sound):
    """Has nothing to train, and says it trains."""

    def adapt(self, backbone: Backbone) -> None:
        pass


@dataclass(frozen=True)
class Baseline(Sound):
    """Trains, and says it does not."""

    trains = False


class UnfreezesLater(Beside):
    """Freezes its bias after the first image."""

    def forward(self, features: Tensor) -> Tensor:
        output = super().forward(features)
        if self.training:
            self.layer.get_parameter("weight").requires_grad_(False)
        return output


class GrowsLater(Beside):
    """Makes a parameter when it first computes."""

    def forward(self, features: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Parameter(torch.ones(1))
        return super().forward(features) * self.late


# gradients reach all


class Unused(Beside):
    """Has a parameter that it does not use."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.unused = nn.Parameter(torch.zeros(3))


# frozen weights stay


@dataclass(frozen=True)
class ScalesFrozen(Sound):
    """Changes a frozen weight as it adapts."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        with torch.no_grad():
            next(backbone.blocks()).norms[0].module.get_parameter("weight").mul_(1 + 1e-6)


class Drifts(Beside):
    """Moves one of its own frozen parameters as it trains."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.frozen.data += 1
        return super().forward(features)


class MovesNorm(Beside):
    """Moves a frozen weight in evaluation."""

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
    """Leaves a frozen weight trainable that it did not insert."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        next(backbone.blocks()).mlp.sites[0].module.requires_grad_(True)


@dataclass(frozen=True)
class UnfreezesNothing(Sound):
    """Declares that it unfreezes, and does not."""

    unfreezes = True


# shares what it says


@dataclass(frozen=True)
class SharesModule(Sound):
    """Puts one module at several places."""

    def adapt(self, backbone: Backbone) -> None:
        one = Beside(next(backbone.blocks()))
        for block in backbone.blocks():
            block.mlp.parallel(one)


@dataclass(frozen=True)
class SharesTensor(Sound):
    """Gives its modules one parameter."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        first, *others = (block.mlp.hooks.get_submodule("beside.0.layer") for block in backbone.blocks())
        for layer in others:
            layer.weight = first.weight


@dataclass(frozen=True)
class SharesMemory(SharesTensor):
    """Gives its modules parameters on the same memory."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        for block in backbone.blocks():
            layer = block.mlp.hooks.get_submodule("beside.0.layer")
            layer.weight = nn.Parameter(layer.get_parameter("weight").detach())


@dataclass(frozen=True)
class OverlappingViews(Sound):
    """Its two biases are windows of one vector."""

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
    """Keeps a buffer on the memory of a trained weight."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        module = first(backbone)
        module.copy = nn.Buffer(module.layer.get_parameter("bias").detach())


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "trains what it says": [Nothing, Baseline, UnfreezesLater, GrowsLater],
    "gradients reach all": [Unused],
    "frozen weights stay": [ScalesFrozen, Drifts, MovesNorm],
    "unfreezes what it says": [Leaks, UnfreezesNothing],
    "shares what it says": [SharesModule, SharesTensor, SharesMemory, OverlappingViews, BufferOnWeight],
}
