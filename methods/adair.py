"""AdaIR: a bottleneck with a depthwise convolution parallel to every attention layer and feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone, OnMap
from petlir.benchmark.method import Method, Paper, Published


class DepthwiseBottleneck(nn.Sequential):
    """A 1×1 down-projection, a 3×3 depthwise convolution and a 1×1 up-projection of N×C×H×W maps.

    The initial output of the bottleneck is zero.

    Args:
        width: number of channels of the map.
        rank: number of channels of the bottleneck.
    """

    def __init__(self, width: int, rank: int) -> None:
        down, up = nn.Conv2d(width, rank, 1, bias=False), nn.Conv2d(rank, width, 1, bias=False)
        nn.init.zeros_(up.weight)
        super().__init__(down, nn.Conv2d(rank, rank, 3, padding=1, groups=rank, bias=False), up)


@dataclass(frozen=True)
class AdaIR(Method):
    """Bottlenecks that read the normed features, parallel to the mixer and the mlp of every block.

    This is a re-implementation from the paper's description, as no code was released. The AdaIR paper does not specify
    all details of the adapters. Like Restormer, this version of the bottleneck has no biases; it has no activation
    function either, as the paper mentions none. The up-projection starts at zero. A decoder's cross-attention gets no
    bottleneck. AdaIR's pre-training is not part of this method.

    Source: Chen et al., AdaIR: Exploiting Underlying Similarities of Image Restoration Tasks with Adapters, 2024.

    Attributes:
        rank: number of channels of the bottleneck.
    """

    name = "adair"
    idea = "A small bottleneck with a depthwise convolution runs beside every attention and feed-forward layer."
    paper = Paper.from_bib(__file__, "chen2024adair")
    size = "rank"

    rank: int = 32

    def adapt(self, backbone: Backbone) -> None:
        """Insert a bottleneck parallel to each mixer and each mlp."""
        for block in backbone.blocks():
            for branch in (block.mixer, block.mlp):
                branch.parallel(OnMap(DepthwiseBottleneck(block.width, self.rank), block.layout))

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return the configuration that the AdaIR paper reports for Restormer."""
        note = "derived from the description; the inner width is not published"
        return [Published(cls(rank=62), "1.9M", note)] if backbone == "restormer" else []
