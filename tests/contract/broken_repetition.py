"""Methods that depend on the process, its threads or its global state, or that change them."""

from __future__ import annotations

import datetime
import itertools
import os
import random
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

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


@cache
def drawn(width: int) -> Tensor:
    """Return random numbers, which are drawn only once in the process."""
    return torch.rand(width)


class CachesDraw(Beside):
    """An inserted module whose initial bias depends on the seed of the first network in the process."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.level = nn.Parameter(drawn(block.width).clone())

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.level.mean()


@dataclass(frozen=True)
class DrawsWhenBuilt(Sound):
    """A method that, besides its options, holds a random number that is drawn when the method is built."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "drawn", 1 + os.urandom(1)[0])

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        nn.init.constant_(first(backbone).layer.get_parameter("weight"), 1e-9 * vars(self)["drawn"])


class ScalesByFolder(Beside):
    """An inserted module whose effect depends on the current folder."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.scale = 1 + crc32(os.fsencode(Path.cwd())) % 7

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.scale


class ScalesByMonth(Beside):
    """An inserted module whose effect depends on the month."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.scale = datetime.date.today().month

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


@dataclass(frozen=True)
class RescalesWhenAsked(Sound):
    """A method whose `supports` changes a weight."""

    def supports(self, backbone: Backbone) -> str | None:
        next(backbone.blocks()).norms[0].module.get_parameter("weight").data.mul_(0.9)
        return None


@dataclass(frozen=True)
class HooksGradients(Sound):
    """A method that registers a hook for the gradients of all modules of the process."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        nn.modules.module.register_module_full_backward_pre_hook(lambda module, outputs: None)


@dataclass(frozen=True)
class Reseeds(Sound):
    """A method that draws the same initial weights for every seed, because it sets the seed itself."""

    identity = False

    def adapt(self, backbone: Backbone) -> None:
        torch.manual_seed(3)
        super().adapt(backbone)
        nn.init.normal_(first(backbone).layer.get_parameter("weight"))


@dataclass(frozen=True)
class LeavesThread(Sound):
    """A method that starts threads which outlive `adapt`."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        threading.Timer(2, int).start()


@dataclass(frozen=True)
class StopsGradients(Sound):
    """A method that leaves the recording of gradients switched off."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        torch.set_grad_enabled(False)


@dataclass(frozen=True)
class ChangesSettings(Sound):
    """A method that changes settings of libraries."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        np.seterr(all="raise")
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark


@dataclass(frozen=True)
class Prints(Sound):
    """A method that prints without end."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        sys.stdout.write("." * 70_000)


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "repeats from a seed": [
        OwnEntropy,
        ChoosesByHash,
        DrawsInSetOrder,
        Numbered,
        SeededByProcess,
        CachesDraw,
        DrawsWhenBuilt,
        ScalesByFolder,
        ScalesByMonth,
    ],
    "any number of threads": [ScalesByThreads, ScalesByThreadsInTraining, WidensByThreads],
    "leaves no trace": [
        UsesNumpy,
        DropsByNumpy,
        PatchesFunction,
        PatchesLayer,
        HooksEveryModule,
        SetsEnvironment,
        InsertsWhenAsked,
        RescalesWhenAsked,
        HooksGradients,
        Reseeds,
        StopsGradients,
        LeavesThread,
        ChangesSettings,
        Prints,
    ],
}
