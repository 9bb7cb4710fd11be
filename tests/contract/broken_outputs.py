"""Methods whose outputs break one point of the contract each: by their values, types, sizes or dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block
from tests.contract.sound import Beside, Sound

# identity at the start


class NotZero(Beside):
    """An inserted module that initially acts as the identity instead of adding zero."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        nn.init.eye_(self.layer.weight)


# mixed precision


class HalfOnly(Beside):
    """An inserted module that divides by zero under autocast."""

    def forward(self, features: Tensor) -> Tensor:
        offset = features.new_ones(()) if not torch.is_autocast_enabled("cpu") else features.new_zeros(())
        return super().forward(features) / offset


class NoHalf(Beside):
    """An inserted module that multiplies half-precision features by a float32 matrix under autocast."""

    def forward(self, features: Tensor) -> Tensor:
        changed = super().forward(features)
        with torch.autocast("cpu", enabled=False):
            return changed @ torch.eye(len(self.layer.weight))


# any image size


class OneMapSize(Beside):
    """An inserted module with a position embedding for maps of the training size only."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.position = nn.Parameter(torch.zeros(1, 1, 16, 16))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.position


@dataclass(frozen=True)
class CropsToEven(Sound):
    """A method whose network crops its output to even sides."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        backbone.register_forward_hook(
            lambda module, inputs, output: output[..., : output.shape[2] // 2 * 2, : output.shape[3] // 2 * 2]
        )


@dataclass(frozen=True)
class Double(Sound):
    """A method whose network outputs double precision."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        backbone.register_forward_hook(lambda module, inputs, output: output.double())


# constant images


class DividesBySpread(Beside):
    """An inserted module that divides by the standard deviation of the features without an epsilon."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward((features - features.mean((2, 3), keepdim=True)) / features.std((2, 3), keepdim=True))


class RootOfVariance(Beside):
    """An inserted module that multiplies by a standard deviation whose derivative is infinite at zero."""

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean((2, 3), keepdim=True)
        return super().forward(features) * (1 + centred.square().mean((2, 3), keepdim=True).sqrt())


# evaluation repeats


class Counts(Beside):
    """An inserted module whose effect shrinks with every image that it evaluates."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.images = 1

    def forward(self, features: Tensor) -> Tensor:
        self.images += not self.training
        return super().forward(features) / self.images


class RemembersFirst(Beside):
    """An inserted module that, in evaluation, replaces its input by the mean of the first batch."""

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
    """An inserted module that updates a running average in evaluation too."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.mean = nn.Buffer(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        self.mean.lerp_(features.detach().mean(), 0.1)
        return super().forward(features)


class OwnNoise(Beside):
    """An inserted module whose effect is multiplied by noise from its own generator, in evaluation too."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.numbers = torch.Generator().manual_seed(0)

    def forward(self, features: Tensor) -> Tensor:
        noise = torch.rand(features.shape, generator=self.numbers)
        return super().forward(features) * noise


# training and evaluation agree


class TrainsForNothing(Beside):
    """An inserted module that has no effect in evaluation."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.training


class DoublesInTraining(Beside):
    """An inserted module whose effect is twice as large in training."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * (2 if self.training else 1)


class DoublesWithGradients(Beside):
    """An inserted module whose effect is twice as large where gradients are recorded."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * (2 if torch.is_grad_enabled() else 1)


# inputs stay


class RectifiesInput(Beside):
    """An inserted module that rectifies its input in place."""

    def forward(self, features: Tensor) -> Tensor:
        with torch.no_grad():
            features.relu_()
        return super().forward(features)


class ScalesData(Beside):
    """An inserted module that, once it is trained, scales its input without autograd noticing."""

    def forward(self, features: Tensor) -> Tensor:
        output = super().forward(features)
        features.data.mul_(1 + output.detach().abs().mean())
        return output


@dataclass(frozen=True)
class ScalesResidual(Sound):
    """A method that scales the input of a block in place, so that the residual connection changes too."""

    identity = False

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        next(backbone.blocks()).mlp.norm.module.register_forward_pre_hook(self.scale)

    @staticmethod
    def scale(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        with torch.no_grad():
            inputs[0].mul_(0.9)


@dataclass(frozen=True)
class DarkensImages(Sound):
    """A method that changes the input images in place."""

    identity = False

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        backbone.register_forward_pre_hook(self.darken)

    @staticmethod
    def darken(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].clamp_(max=0.3)


# images stay apart


class MixesImages(Beside):
    """An inserted module that subtracts the mean of the batch."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features - features.mean(0))


class FirstImageGates(Beside):
    """An inserted module that gates all images of a batch by the first image."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * features[:1].sigmoid()


class Fails(Beside):
    """An inserted module whose forward pass raises an error with a message of two lines."""

    def forward(self, features: Tensor) -> Tensor:
        raise RuntimeError("the forward pass fails\non two lines")


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "identity at the start": [NotZero],
    "mixed precision": [HalfOnly, NoHalf],
    "any image size": [OneMapSize, CropsToEven, Double],
    "constant images": [DividesBySpread, RootOfVariance],
    "evaluation repeats": [Counts, RemembersFirst, MovesBuffer, OwnNoise],
    "training and evaluation agree": [TrainsForNothing, DoublesInTraining, DoublesWithGradients],
    "inputs stay": [RectifiesInput, DarkensImages, ScalesData, ScalesResidual],
    "images stay apart": [MixesImages, FirstImageGates, Fails],
}
