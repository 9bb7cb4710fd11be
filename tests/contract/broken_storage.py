"""Methods that break one point each in what they store, load or merge."""

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
    """Make a frozen weight of each block a buffer of what was inserted there."""
    for block in backbone.blocks():
        weight = block.mlp.sites[0].module.get_parameter("weight")
        block.mlp.hooks.beside[0].kept = nn.Buffer(weight.detach().clone())


@dataclass(frozen=True)
class SavesBackbone(Sound):
    """Keeps copies of frozen weights as buffers, which are stored with every adapter."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        keep_weights(backbone)


@dataclass(frozen=True)
class FollowsAndSavesBackbone(Follows):
    """Stores frozen weights beside what it required."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        keep_weights(backbone)


# saves and loads


class Hidden(Beside):
    """Its output depends on a tensor that is neither parameter nor buffer."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.fixed = torch.randn(block.width)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.fixed


@dataclass(frozen=True)
class AsksAgain(Follows):
    """Cannot be loaded without what it required."""

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        self.adapt(backbone)
        self.start(backbone, prior)


class LearnsNumber(Beside):
    """Keeps what it learns of the data in a plain number."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.level = 1.0

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.level = float(features.detach().abs().mean())
        return super().forward(features) * self.level


class ForgetsBuffer(Beside):
    """Does not store the random buffer that it computes with."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.level = nn.Buffer(torch.rand(1), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.level


# merges exactly


class MergesWrong(Beside):
    """Is folded into the identity."""

    def merged(self) -> nn.Module:
        folded = deepcopy(self)
        nn.init.eye_(folded.layer.weight)
        return folded


class MergesInPlace(Beside):
    """Empties itself as it is folded."""

    def merged(self) -> nn.Module:
        folded = deepcopy(self)
        with torch.no_grad():
            self.layer.weight.zero_()
        return folded


class ForgetsBias(Beside):
    """Loses its bias as it is folded."""

    def merged(self) -> nn.Module:
        folded = deepcopy(self)
        nn.init.zeros_(folded.layer.get_parameter("bias"))
        return folded


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "stores its own": [SavesBackbone, FollowsAndSavesBackbone],
    "saves and loads": [Hidden, AsksAgain, LearnsNumber, ForgetsBuffer],
    "merges exactly": [MergesWrong, MergesInPlace, ForgetsBias],
}
