"""Components of inserted modules, in the feature layout of the block that they are inserted into.

Channel-wise layers are linear layers for tokens and 1×1 convolutions for feature maps.
"""

from __future__ import annotations

from torch import Tensor, nn

from petlir.benchmark.backbone import Block
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.layers.dropout import Dropout


def on_maps(block: Block) -> bool:
    """Return whether the block processes N×C×H×W maps by 1×1 convolutions; otherwise, channels are the last axis."""
    return isinstance(block.mlp.sites[0].module, nn.Conv2d)


def along_channels(vector: Tensor, *, maps: bool) -> Tensor:
    """Reshape one value per channel so that it broadcasts over features."""
    return vector.view(-1, 1, 1) if maps else vector


def pointwise(inputs: int, outputs: int, *, maps: bool) -> nn.Linear | nn.Conv2d:
    """Return a channel-wise layer with a bias."""
    return nn.Conv2d(inputs, outputs, 1) if maps else nn.Linear(inputs, outputs)


def check_share(what: str, share: float) -> None:
    """Reject a dropout rate outside [0, 1)."""
    if not 0 <= share < 1:
        raise PetlirError(f"{what} is {share:g}, expected 0 <= dropout < 1")


class Residual(nn.Module):
    """A residual connection around `module`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, features: Tensor) -> Tensor:
        """Return the features plus the output of `module`, in the layout of the features."""
        change: Tensor = self.module(features)
        return features + change


class Scaled(nn.Module):
    """The output of `module`, scaled by a constant."""

    def __init__(self, module: nn.Module, scale: float) -> None:
        super().__init__()
        self.module, self.scale = module, scale

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled output of `module`, in the layout of the features."""
        change: Tensor = self.module(features)
        return change * self.scale


class Bottleneck(nn.Sequential):
    """A projection to `rank` channels, a non-linearity, dropout, and a projection back; the initial output is zero.

    Args:
        block: the block whose features the bottleneck reads; the block determines width and layout.
        rank: channels of the bottleneck.
        activation: the non-linearity.
        dropout: fraction of the bottleneck channels dropped in training.
    """

    def __init__(self, block: Block, rank: int, activation: nn.Module, dropout: float = 0.0) -> None:
        maps = on_maps(block)
        down, up = pointwise(block.width, rank, maps=maps), pointwise(rank, block.width, maps=maps)
        nn.init.kaiming_uniform_(down.weight, a=5**0.5)
        for parameter in (down.get_parameter("bias"), *up.parameters()):
            nn.init.zeros_(parameter)
        super().__init__(down, activation, Dropout(dropout), up)
