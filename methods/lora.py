"""LoRA: low-rank updates of projections, by default of the query and value projections."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method, Paper, Published
from petlir.methods.sites import QUERY_VALUE, beyond, lacking, not_dense, projections


def low_rank(features: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """Apply `down`, then `up`, to features; both are weights of linear layers or both of 1×1 convolutions."""
    project = functional.conv2d if down.ndim == 4 else functional.linear
    update: Tensor = project(project(features, down), up)
    return update


class LowRank(nn.Module):
    """A frozen projection W, linear or a 1×1 convolution, with an update: W + scale · up · down.

    Args:
        base: the projection.
        rank: number of rows of `down` and of columns of `up`.
        scale: factor of the update.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs, *kernel = base.weight.shape
        self.base, self.scale = base, scale
        self.down = nn.Parameter(torch.empty(rank, inputs, *kernel))
        self.up = nn.Parameter(torch.zeros(outputs, rank, *kernel))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output in the projection's own layout."""
        output: Tensor = self.base(features)
        return torch.add(output, low_rank(features, self.down, self.up), alpha=self.scale)

    def merged(self) -> nn.Module:
        """Return the projection with the update added to its weight."""
        layer = deepcopy(self.base)
        with torch.no_grad():
            layer.weight += self.scale * (self.up.flatten(1) @ self.down.flatten(1)).view_as(layer.weight)
        return layer


@dataclass(frozen=True)
class LoRA(Method):
    """Low-rank updates of the query and value projections of every attention layer, cross-attention included.

    Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, §4. A network without attention
    needs other projections in `sites`; the method's label then lists them.

    Attributes:
        rank: rank of the update.
        alpha: numerator of the update's scale alpha / rank; if None, the scale is 1 for every rank.
        sites: the projections that get an update, joined by +, or `all`.
    """

    name = "lora"
    idea = "A low-rank matrix is added to the query and value projections, and folded into them afterwards."
    paper = Paper.from_bib(__file__, "hu2022lora", licence="MIT")
    size = "rank"

    rank: int = 4
    alpha: float | None = None
    sites: str = QUERY_VALUE

    def adapt(self, backbone: Backbone) -> None:
        """Insert an update parallel to each projection named in `sites`."""
        scale = 1.0 if self.alpha is None else self.alpha / self.rank
        for site in projections(backbone, self.sites):
            base = site.module
            assert isinstance(base, nn.Linear | nn.Conv2d)
            site.replace(LowRank(base, self.rank, scale))

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if a named site is missing, is not dense or is narrower than the rank, otherwise None."""
        found = projections(backbone, self.sites)
        return lacking(backbone, self.sites) or not_dense(backbone, found) or beyond(found, self.rank)

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return LoRA's configurations in the AdaptIR paper (EDT-B: Tables 4 and 14), with loralib's alpha = 1."""
        note = "derived: rank 12 on all 36 attentions; rank 18 on the 24 self-attentions gives the same count"
        settings = {"ipt": [(12, "995K", note)], "edt-b": [(10, "259K", "derived"), (6, "155K", "derived")]}
        found = settings.get(backbone, [])
        return [Published(cls(rank=rank, alpha=1.0), count, note) for rank, count, note in found]
