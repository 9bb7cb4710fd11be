"""Adapter: a residual bottleneck after every attention layer and every feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.layers.pointwise import Bottleneck, Residual
from petlir.benchmark.method import Method, Paper, Published


@dataclass(frozen=True)
class Adapter(Method):
    """Residual bottlenecks after the mixer and after the mlp of every block.

    Source: Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, §2.1, with GELU as in the
    authors' code. The up-projection starts at zero, so each bottleneck is initially the identity.

    Attributes:
        rank: number of channels of the bottleneck.
    """

    name = "adapter"
    idea = "A small residual bottleneck follows every attention and feed-forward layer."
    paper = Paper.from_bib(__file__, "houlsby2019parameter", licence="Apache-2.0")
    size = "rank"

    rank: int = 4

    def adapt(self, backbone: Backbone) -> None:
        """Insert a bottleneck after each mixer and each mlp, but not after a decoder's cross-attention."""
        for block in backbone.blocks():
            for branch in (block.mixer, block.mlp):
                branch.after(Residual(Bottleneck(block, self.rank, nn.GELU())))

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return Adapter's configurations in the AdaptIR paper (for EDT-B, in Tables 4 and 14)."""
        settings = {"ipt": [(12, "691K")], "edt-b": [(7, "194K"), (6, "168K")]}
        return [Published(cls(rank=rank), count, "derived") for rank, count in settings.get(backbone, [])]
