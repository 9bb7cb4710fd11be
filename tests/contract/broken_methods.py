"""Methods that break one point of the contract each, in a module that other processes can import too."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, Block
from petlir.benchmark.layers.pointwise import on_maps, pointwise
from petlir.benchmark.method import Method, Paper

PAPER = Paper("A title", "Someone", "2024", "@misc{someone}")


class Beside(nn.Module):
    """A layer over channels that starts at zero: the sound module that each fault is put into."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.layer = pointwise(block.width, block.width, maps=on_maps(block))
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.get_parameter("bias"))

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layer(features)
        return output


@dataclass(frozen=True)
class Sound(Method):
    """Holds every point."""

    name = "sound"
    idea = "A sentence."
    paper: ClassVar[Paper | None] = PAPER
    module: ClassVar[type[Beside]] = Beside

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            block.mlp.parallel(self.module(block))


def first(backbone: Backbone) -> Beside:
    """Return the module that was inserted first."""
    module: Beside = next(backbone.blocks()).mlp.hooks.get_submodule("beside.0")  # type: ignore[assignment]
    return module


# repeats from a seed


@dataclass(frozen=True)
class ChoosesByHash(Sound):
    """Trains the bias only where the hash of the block's name is even."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        for block in backbone.blocks():
            layer = block.mlp.hooks.get_submodule("beside.0.layer")
            layer.get_parameter("bias").requires_grad_(hash(block.name) % 2 == 0)


@dataclass(frozen=True)
class DrawsInSetOrder(Sound):
    """Draws initial weights for sites in the order of a set."""

    identity = False

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        layer = first(backbone).layer
        for name in {"weight", "bias"}:
            nn.init.normal_(layer.get_parameter(name))


class Numbered(Beside):
    """Its scale counts the modules that the process has made."""

    made = itertools.count(1)

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.scale = next(self.made)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) / self.scale


class SeededByProcess(Beside):
    """Draws its scale from a generator seeded by the number of the process."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.scale = random.Random(os.getpid()).random()

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.scale


# shares what it says


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


# any image size


class OneMapSize(Beside):
    """Adds a position embedding of the map in training."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.position = nn.Parameter(torch.zeros(1, 1, 16, 16))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.position


@dataclass(frozen=True)
class CropsToEven(Sound):
    """Crops the output to even sides."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        backbone.register_forward_hook(
            lambda module, inputs, output: output[..., : output.shape[2] // 2 * 2, : output.shape[3] // 2 * 2]
        )


@dataclass(frozen=True)
class Double(Sound):
    """Puts out double precision."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        backbone.register_forward_hook(lambda module, inputs, output: output.double())


# constant images


class DividesBySpread(Beside):
    """Divides by the spread of the features without an epsilon."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward((features - features.mean((2, 3), keepdim=True)) / features.std((2, 3), keepdim=True))


class RootOfVariance(Beside):
    """Multiplies by a spread whose derivative is not finite at zero."""

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean((2, 3), keepdim=True)
        return super().forward(features) * (1 + centred.square().mean((2, 3), keepdim=True).sqrt())


# any number of threads


class ScalesByThreads(Beside):
    """Multiplies by the number of threads."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * torch.get_num_threads()


class ScalesByThreadsInTraining(Beside):
    """Divides by the number of threads in training, where it also drops features."""

    def forward(self, features: Tensor) -> Tensor:
        output = functional.dropout(super().forward(features), 0.1, self.training)
        return output / torch.get_num_threads() if self.training else output


@dataclass(frozen=True)
class WidensByThreads(Sound):
    """Inserts a module for each thread."""

    def adapt(self, backbone: Backbone) -> None:
        for _ in range(torch.get_num_threads()):
            super().adapt(backbone)


# leaves no trace


@dataclass(frozen=True)
class PatchesFunction(Sound):
    """Replaces a function of torch as it adapts."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        functional.__dict__["celu"] = lambda features, alpha=1.0, inplace=False: features


class PatchesLayer(Beside):
    """Replaces the forward pass of all linear layers as it computes."""

    def forward(self, features: Tensor) -> Tensor:
        original = nn.Linear.forward
        setattr(nn.Linear, "forward", lambda layer, inputs: original(layer, inputs))  # noqa: B010
        return super().forward(features)


@dataclass(frozen=True)
class HooksEveryModule(Sound):
    """Registers a hook for all modules of the process."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)


@dataclass(frozen=True)
class SetsEnvironment(Sound):
    """Sets an environment variable."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        os.environ["PETLIR_BROKEN"] = str(len(os.environ))


class DropsByNumpy(Beside):
    """Draws numpy's global numbers in training."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            np.random.rand()
        return super().forward(features)


@dataclass(frozen=True)
class InsertsWhenAsked(Sound):
    """Changes the network that it is asked about."""

    def supports(self, backbone: Backbone) -> str | None:
        next(backbone.blocks()).mlp.parallel(Beside(next(backbone.blocks())))
        return None


# frozen weights stay


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


# evaluation repeats


class Counts(Beside):
    """Acts less with every image."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.images = 1

    def forward(self, features: Tensor) -> Tensor:
        self.images += not self.training
        return super().forward(features) / self.images


class RemembersFirst(Beside):
    """Normalises every image by the mean of the first one."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.mean: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            return super().forward(features) * 0.5
        if self.mean is None:
            self.mean = features.mean(0, keepdim=True)
        return super().forward(self.mean)


class MovesBuffer(Beside):
    """Averages features in evaluation too."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.mean = nn.Buffer(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        self.mean.lerp_(features.detach().mean(), 0.1)
        return super().forward(features)


class OwnNoise(Beside):
    """Adds noise from a generator of its own, in evaluation too."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.numbers = torch.Generator().manual_seed(0)

    def forward(self, features: Tensor) -> Tensor:
        noise = torch.rand(features.shape, generator=self.numbers)
        return super().forward(features) * noise


# training and evaluation agree


class TrainsForNothing(Beside):
    """Does nothing in evaluation."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.training


class DoublesInTraining(Beside):
    """Acts twice as much in training."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * (2 if self.training else 1)


# inputs stay


class RectifiesInput(Beside):
    """Rectifies what it reads in place."""

    def forward(self, features: Tensor) -> Tensor:
        with torch.no_grad():
            features.relu_()
        return super().forward(features)


@dataclass(frozen=True)
class DarkensImages(Sound):
    """Changes the images in place."""

    identity = False

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        backbone.register_forward_pre_hook(self.darken)

    @staticmethod
    def darken(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].clamp_(max=0.3)


# trains what it says


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


# merges exactly


class ForgetsBias(Beside):
    """Loses its bias as it is folded."""

    def merged(self) -> nn.Module:
        folded = deepcopy(self)
        nn.init.zeros_(folded.layer.get_parameter("bias"))
        return folded


# images stay apart


class FirstImageGates(Beside):
    """Gates all images by the first one."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * features[:1].sigmoid()


# saves and loads


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


# frozen dataclass, options act


@dataclass(frozen=True)
class ChangesItself(Sound):
    """Changes its own option as it adapts."""

    scale: float = 1.0

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        nn.init.constant_(first(backbone).layer.get_parameter("weight"), 1e-9 * self.scale)
        object.__setattr__(self, "scale", self.scale + 1)


@dataclass(frozen=True)
class IdleSwitch(Sound):
    """Has a switch that it does not use."""

    gated: bool = False


def _methods() -> Iterator[tuple[str, type[Sound]]]:
    """Yield a method for each module above, as an attribute of this file."""
    for name, kind in list(globals().items()):
        if isinstance(kind, type) and issubclass(kind, Beside):
            body: dict[str, object] = {
                "module": kind,
                "__doc__": kind.__doc__,
                "__module__": __name__,
                "__annotations__": {},
            }
            yield name, dataclass(frozen=True)(type(f"With{name}", (Sound,), body))


METHODS = dict(_methods())
globals().update({kind.__name__: kind for kind in METHODS.values()})
