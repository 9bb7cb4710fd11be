"""Components of networks on N×C×H×W maps: the layout, norms over channels, and the halves that a gate multiplies."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MapLayout:
    """The layout of features that are already N×C×H×W maps."""

    def to_map(self, features: Tensor) -> Tensor:
        """Return the features unchanged."""
        return features

    def from_map(self, image: Tensor) -> Tensor:
        """Return the map unchanged."""
        return image


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of N×C×H×W maps; a single fused pass if memory is channels-last."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the normed N×C×H×W maps in their own memory format."""
        if features.is_contiguous(memory_format=torch.channels_last):
            return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        centred = features - features.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + self.eps).sqrt()
        return scaled * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class BiasFreeNorm(nn.Module):
    """Maps divided by their standard deviation across channels, times a weight (Zamir et al., Restormer, CVPR 2022).

    The mean is subtracted only to compute the variance, so this is neither layer norm nor RMS norm.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def reset_parameters(self) -> None:
        """Set the weight to its initial value."""
        nn.init.ones_(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return the normed N×C×H×W maps."""
        centred = features - features.mean(1, keepdim=True)
        deviation = (centred.square().mean(1, keepdim=True) + self.eps).sqrt()
        return features / deviation * self.weight.view(-1, 1, 1)


def halves(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two halves of the channels of N×C×H×W maps, which a gate multiplies."""
    one, other = features.chunk(2, 1)
    return one, other
