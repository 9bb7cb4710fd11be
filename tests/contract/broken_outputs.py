"""Methods that break one point on outputs each: their values, types, sizes or dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block
from tests.contract.sound import Beside, Sound

# identity at the start


class NotZero(Beside):
    """Starts as the identity."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        nn.init.eye_(self.layer.weight)


# mixed precision


class HalfOnly(Beside):
    """Divides by what is not zero in 32 bits only."""

    def forward(self, features: Tensor) -> Tensor:
        offset = features.new_ones(()) if not torch.is_autocast_enabled("cpu") else features.new_zeros(())
        return super().forward(features) / offset


class NoHalf(Beside):
    """Multiplies matrices of the type that autocast has made by those of the parameters' type."""

    def forward(self, features: Tensor) -> Tensor:
        changed = super().forward(features)
        with torch.autocast("cpu", enabled=False):
            return changed @ torch.eye(len(self.layer.weight))


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


# images stay apart


class MixesImages(Beside):
    """Subtracts the mean of the batch."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features - features.mean(0))


class FirstImageGates(Beside):
    """Gates all images by the first one."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * features[:1].sigmoid()


class Fails(Beside):
    """Raises an error of two lines."""

    def forward(self, features: Tensor) -> Tensor:
        raise RuntimeError("the forward pass fails\non two lines")


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "identity at the start": [NotZero],
    "mixed precision": [HalfOnly, NoHalf],
    "any image size": [OneMapSize, CropsToEven, Double],
    "constant images": [DividesBySpread, RootOfVariance],
    "evaluation repeats": [Counts, RemembersFirst, MovesBuffer, OwnNoise],
    "training and evaluation agree": [TrainsForNothing, DoublesInTraining],
    "inputs stay": [RectifiesInput, DarkensImages],
    "images stay apart": [MixesImages, FirstImageGates, Fails],
}
