"""Methods that break one point of the contract each when they are stored, loaded or merged."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block
from petlir.benchmark.method import PriorResults
from tests.contract.sound import Beside, Follows, Sound

# stores its own


def keep_weights(backbone: Backbone) -> None:
    """Register a frozen weight of each block as a buffer of the module inserted there."""
    for block in backbone.blocks():
        weight = block.mlp.sites[0].module.get_parameter("weight")
        block.mlp.hooks.beside[0].kept = nn.Buffer(weight.detach().clone())


@dataclass(frozen=True)
class SavesBackbone(Sound):
    """A method that keeps copies of frozen weights as buffers, so that they are stored with every adapter."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        keep_weights(backbone)


@dataclass(frozen=True)
class FollowsAndSavesBackbone(Follows):
    """A method that stores frozen weights besides the values taken from the cell that it requires."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        keep_weights(backbone)


# saves and loads


class Hidden(Beside):
    """An inserted module whose output depends on a tensor that is neither a parameter nor a buffer."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.fixed = torch.randn(block.width)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.fixed


@dataclass(frozen=True)
class AsksAgain(Follows):
    """A method that cannot be loaded without the results of the cell that it requires."""

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        self.adapt(backbone)
        self.start(backbone, prior)


class LearnsNumber(Beside):
    """An inserted module that keeps a value learnt from data in a plain number."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.level = 1.0

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.level = float(features.detach().abs().mean())
        return super().forward(features) * self.level


class ForgetsBuffer(Beside):
    """An inserted module that computes with a random buffer but does not store it."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.level = nn.Buffer(torch.rand(1), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.level


# merges exactly


class MergesWrong(Beside):
    """An inserted module that is merged into an identity layer."""

    def merged(self) -> nn.Module:
        folded = deepcopy(self)
        nn.init.eye_(folded.layer.weight)
        return folded


class MergesIntoNothing(Beside):
    """An inserted module whose `merged` returns nothing."""

    def merged(self) -> nn.Module:
        return None  # type: ignore[return-value]


class MergesInPlace(Beside):
    """An inserted module that is emptied when it is merged."""

    def merged(self) -> nn.Module:
        folded = deepcopy(self)
        with torch.no_grad():
            self.layer.weight.zero_()
        return folded


class ForgetsBias(Beside):
    """An inserted module that loses its bias when it is merged."""

    def merged(self) -> nn.Module:
        folded = deepcopy(self)
        nn.init.zeros_(folded.layer.get_parameter("bias"))
        return folded


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "stores its own": [SavesBackbone, FollowsAndSavesBackbone],
    "saves and loads": [Hidden, AsksAgain, LearnsNumber, ForgetsBuffer],
    "merges exactly": [MergesWrong, MergesIntoNothing, MergesInPlace, ForgetsBias],
}
