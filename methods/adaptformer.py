"""AdaptFormer: a scaled bottleneck parallel to every feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.layers.pointwise import Bottleneck, Scaled
from petlir.benchmark.method import Paper, Published
from petlir.methods.bottleneck import BottleneckMethod


@dataclass(frozen=True)
class AdaptFormer(BottleneckMethod):
    """A bottleneck parallel to the mlp of every block; the bottleneck reads the features before the norm of the mlp.

    Source: Chen et al., AdaptFormer: Adapting Vision Transformers for Scalable Visual Recognition,
    NeurIPS 2022, §3.2, with the initialisation and the dropout of the authors' code.
    """

    name = "adaptformer"
    idea = "A small scaled bottleneck runs beside every feed-forward layer."
    paper = Paper.from_bib(__file__, "chen2022adaptformer", licence="MIT")

    scale: float = 0.1

    def adapt(self, backbone: Backbone) -> None:
        """Insert a bottleneck parallel to each mlp."""
        for block in backbone.blocks():
            bottleneck = Bottleneck(block, self.rank, nn.ReLU(), self.dropout)
            block.mlp.parallel(Scaled(bottleneck, self.scale), reads="input")

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return AdaptFormer's configurations in the AdaptIR paper."""
        note = "derived; with a learned scale in each block, the count would round down to the same number"
        settings = {"ipt": Published(cls(rank=24), "677K", note), "edt-b": Published(cls(rank=12), "162K", note)}
        return [settings[backbone]] if backbone in settings else []
