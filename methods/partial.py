"""Partial fine-tuning: all weights of the encoder, the middle or the decoder are trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import unknown
from petlir.benchmark.layers.places import PLACES, places
from petlir.benchmark.layers.selective import WEIGHT_RATES, Subset
from petlir.benchmark.method import Paper


@dataclass(frozen=True)
class PartialFineTuning(Subset):
    """Fine-tuning of all blocks in one part of a network, to find out which part has to change for a task.

    Heads, tails, Restormer's refinement blocks and the layers between the levels belong to none of the parts.

    Source: Park et al., Contribution-based Low-Rank Adaptation with Pre-training Model for Real Image Restoration,
    ECCV 2024, whose Fig. 3 compares these parts.

    Attributes:
        where: `encoder`, `middle` or `decoder`; a single sequence of blocks, such as EDT's, is cut into thirds.
    """

    name = "partial"
    idea = "All weights of the encoder's, the middle's or the decoder's blocks are trained."
    paper = Paper.from_bib(__file__, "park2024contribution")
    what = "blocks at this place"
    rates = WEIGHT_RATES

    where: str = "decoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.where not in PLACES:
            raise unknown("place of partial", self.where, PLACES)

    def chosen(self, backbone: Backbone) -> Iterator[nn.Parameter]:
        """Yield all parameters of the blocks in the part `where`."""
        for block in places(backbone).get(self.where, []):
            yield from block.site.module.parameters()

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if the backbone has no blocks in the part `where`, otherwise None."""
        found = places(backbone)
        return None if self.where in found else f"{backbone.name} has no {self.where}; it has {', '.join(found)}"
