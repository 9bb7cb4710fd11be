"""Tail tuning: only the tail, which turns the body's features into an image, is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.layers.selective import WEIGHT_RATES, Subset
from petlir.benchmark.method import Paper


@dataclass(frozen=True)
class TailTuning(Subset):
    """The tail of the head in use, which turns features into an image; a baseline for methods that adapt the body.

    Source: Yosinski et al., How Transferable Are Features in Deep Neural Networks?, NeurIPS 2014. This baseline freezes
    all layers but the tail.
    """

    name = "tail-tune"
    idea = "The layers that turn the frozen body's features into an image are trained."
    paper = Paper.from_bib(__file__, "yosinski2014transferable")
    what = "tail of its own"
    rates = WEIGHT_RATES

    def chosen(self, backbone: Backbone) -> Iterator[nn.Parameter]:
        """Yield the parameters of all tails."""
        yield from backbone.tail_of(None)
