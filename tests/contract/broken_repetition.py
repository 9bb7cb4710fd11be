"""Methods that depend on the process, its threads or its global state, or that change them."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, Block
from tests.contract.sound import Beside, Sound, first

# repeats from a seed


class OwnEntropy(Beside):
    """An inserted module whose initial weight comes from the operating system's random numbers."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.gain = nn.Parameter(torch.tensor(1.0 + os.urandom(1)[0]))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.gain


@dataclass(frozen=True)
class ChoosesByHash(Sound):
    """A method that derives the seed of initial weights from the hash of the block's name."""

    identity = False

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        for block in backbone.blocks():
            layer = block.mlp.hooks.get_submodule("beside.0.layer")
            drawn = torch.Generator().manual_seed(hash(block.name) % 2**32)
            nn.init.normal_(layer.get_parameter("weight"), generator=drawn)


@dataclass(frozen=True)
class DrawsInSetOrder(Sound):
    """A method that draws initial weights in the iteration order of a set."""

    identity = False

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        layer = first(backbone).layer
        for output in {f"output {number}" for number in range(len(layer.weight))}:
            nn.init.normal_(layer.weight[int(output.split()[1])])


class Numbered(Beside):
    """An inserted module whose scale depends on how many modules the process has created."""

    made = itertools.count(1)

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.scale = next(self.made)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) / self.scale


class SeededByProcess(Beside):
    """An inserted module that draws its scale from a generator seeded by the process id."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.scale = random.Random(os.getpid()).random()

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.scale


# any number of threads


class ScalesByThreads(Beside):
    """An inserted module that multiplies by the number of threads."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * torch.get_num_threads()


class ScalesByThreadsInTraining(Beside):
    """An inserted module that divides by the number of threads in training, where it also uses dropout."""

    def forward(self, features: Tensor) -> Tensor:
        output = functional.dropout(super().forward(features), 0.1, self.training)
        return output / torch.get_num_threads() if self.training else output


@dataclass(frozen=True)
class WidensByThreads(Sound):
    """A method that inserts as many modules as there are threads."""

    def adapt(self, backbone: Backbone) -> None:
        for _ in range(torch.get_num_threads()):
            super().adapt(backbone)


# leaves no trace


class UsesNumpy(Beside):
    """An inserted module that draws from numpy's global generator when it is created."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        np.random.rand()


class DropsByNumpy(Beside):
    """An inserted module that draws from numpy's global generator in training."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            np.random.rand()
        return super().forward(features)


@dataclass(frozen=True)
class PatchesFunction(Sound):
    """A method whose `adapt` replaces a function of torch."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        functional.__dict__["celu"] = lambda features, alpha=1.0, inplace=False: features


class PatchesLayer(Beside):
    """An inserted module whose forward pass replaces the forward pass of all linear layers."""

    def forward(self, features: Tensor) -> Tensor:
        original = nn.Linear.forward
        setattr(nn.Linear, "forward", lambda layer, inputs: original(layer, inputs))  # noqa: B010
        return super().forward(features)


@dataclass(frozen=True)
class HooksEveryModule(Sound):
    """A method that registers a hook for all modules of the process."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)


@dataclass(frozen=True)
class SetsEnvironment(Sound):
    """A method that sets an environment variable."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        os.environ["PETLIR_BROKEN"] = str(len(os.environ))


@dataclass(frozen=True)
class InsertsWhenAsked(Sound):
    """A method whose `supports` changes the network."""

    def supports(self, backbone: Backbone) -> str | None:
        next(backbone.blocks()).mlp.parallel(Beside(next(backbone.blocks())))
        return None


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "repeats from a seed": [OwnEntropy, ChoosesByHash, DrawsInSetOrder, Numbered, SeededByProcess],
    "any number of threads": [ScalesByThreads, ScalesByThreadsInTraining, WidensByThreads],
    "leaves no trace": [
        UsesNumpy,
        DropsByNumpy,
        PatchesFunction,
        PatchesLayer,
        HooksEveryModule,
        SetsEnvironment,
        InsertsWhenAsked,
    ],
}
