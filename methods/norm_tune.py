"""Norm tuning: only the weights and biases of the norms are trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.layers.selective import Subset
from petlir.benchmark.method import Paper


@dataclass(frozen=True)
class NormTuning(Subset):
    """The weight and, if present, the bias of every norm inside and around the blocks.

    Batch norms keep their running statistics.

    Source: Zhao et al., Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning, ICLR 2024; the
    authors train the norms before attention and before the feed-forward network.
    """

    name = "norm-tune"
    idea = "Only the weights and biases of all norms are trained."
    paper = Paper.from_bib(__file__, "zhao2024tuning")
    what = "norms"

    def chosen(self, backbone: Backbone) -> Iterator[nn.Parameter]:
        """Yield the scale and the shift of each norm."""
        inner = (norm for block in backbone.blocks() for norm in block.norms)
        for norm in (*inner, *backbone.outer_norms()):
            yield from norm.module.parameters()
        for module in backbone.inner_norms():
            yield from module.parameters()
