"""Convpass: a convolutional bypass parallel to every attention layer and every feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, OnMap
from petlir.benchmark.layers.dropout import Dropout
from petlir.benchmark.layers.pointwise import Scaled
from petlir.benchmark.method import Paper
from petlir.methods.bottleneck import BottleneckMethod


class QuickGELU(nn.Module):
    """The approximation x · sigmoid(1.702 x) of the GELU."""

    def forward(self, features: Tensor) -> Tensor:
        """Apply the activation to features of any shape."""
        return features * torch.sigmoid(1.702 * features)


class Bypass(nn.Sequential):
    """Convolutions (1×1 down, 3×3, 1×1 up) of N×C×H×W maps with QuickGELUs in between; the initial output is zero.

    Args:
        width: number of channels of the map.
        rank: number of channels of the bottleneck.
        dropout: dropout probability of the inner channels' values in training.
    """

    def __init__(self, width: int, rank: int, dropout: float) -> None:
        down, middle, up = nn.Conv2d(width, rank, 1), nn.Conv2d(rank, rank, 3, padding=1), nn.Conv2d(rank, width, 1)
        nn.init.xavier_uniform_(down.weight)
        nn.init.dirac_(middle.weight)
        for parameter in (down.get_parameter("bias"), middle.get_parameter("bias"), *up.parameters()):
            nn.init.zeros_(parameter)
        super().__init__(down, QuickGELU(), middle, QuickGELU(), Dropout(dropout), up)


@dataclass(frozen=True)
class Convpass(BottleneckMethod):
    """Bypasses with a 3×3 convolution that read the normed features, parallel to the mixer and the mlp of every block.

    Source: Jie & Deng, Convolutional Bypasses Are Better Vision Transformer Adapters, 2022, §3.2, with the
    initialisation and the dropout of the authors' code. The 3×3 convolution starts as the identity. A decoder's
    cross-attention gets no bypass. The authors use rank 8 and choose the scale from 0.01 to 100 for each task.
    """

    name = "convpass"
    idea = "A small convolutional bypass runs beside every attention and feed-forward layer."
    paper = Paper.from_bib(__file__, "jie2022convolutional", licence="MIT")

    def adapt(self, backbone: Backbone) -> None:
        """Insert a bypass parallel to each mixer and each mlp."""
        for block in backbone.blocks():
            for branch in (block.mixer, block.mlp):
                bypass = Bypass(block.width, self.rank, self.dropout)
                branch.parallel(Scaled(OnMap(bypass, block.layout), self.scale))
