"""RepAdapter: linear bottlenecks that precede, and merge into, attention layers and feed-forward networks."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, Branch, Site
from petlir.benchmark.layers.dropout import Dropout
from petlir.benchmark.layers.pointwise import on_maps, pointwise
from petlir.benchmark.method import Paper
from petlir.methods.bottleneck import BottleneckMethod
from petlir.methods.sites import not_dense

GROUPS = 2
"""The number of groups of the up-projection, as in the paper."""
READERS: Mapping[str, tuple[str, ...]] = {
    "mixer": ("query", "key", "value", "qkv", "expand"),
    "cross": ("query",),
    "mlp": ("up",),
}
"""For each kind of branch, the projections that read the branch's normed features. In cross-attention (`cross`), the
key and value projections read the encoder's output instead.
"""


def readers(branch: Branch) -> list[Site]:
    """Return the projections of a branch that read its normed features."""
    return branch.projections(*READERS[branch.kind])


class LinearAdapter(nn.Module):
    """The adapter x + scale · up(down(x)), initially the identity; `up` is a grouped projection.

    Args:
        width: number of channels of the features.
        rank: number of channels of each group of the bottleneck.
        scale: factor of the bottleneck's output.
        dropout: dropout probability of the bottleneck's values in training.
        maps: whether features are N×C×H×W maps; otherwise channels are the last axis.
    """

    def __init__(self, width: int, rank: int, scale: float, dropout: float, *, maps: bool) -> None:
        super().__init__()
        self.scale, self.maps = scale, maps
        self.down = pointwise(width, GROUPS * rank, maps=maps)
        self.up = nn.Parameter(torch.zeros(GROUPS, width // GROUPS, rank))
        self.bias = nn.Parameter(torch.zeros(width))
        self.dropout = Dropout(dropout)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.get_parameter("bias"))

    def forward(self, features: Tensor) -> Tensor:
        """Return the adapted features, in the block's own layout."""
        inside, up = self.dropout(self.down(features)), self.raising()
        if self.maps:
            return features + self.scale * functional.conv2d(inside, up[..., None, None], self.bias)
        return features + self.scale * functional.linear(inside, up, self.bias)

    def raising(self) -> Tensor:
        """Return the up-projection as a block-diagonal matrix, with zeros between groups."""
        groups = torch.eye(GROUPS, device=self.up.device)
        return torch.einsum("gcr,gh->gchr", self.up, groups).flatten(2).flatten(0, 1)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return the C×C matrix and the shift of length C that the adapter applies."""
        up, inner = self.raising(), self.down.get_parameter("bias")
        matrix = torch.eye(len(up), device=up.device) + self.scale * up @ self.down.weight.flatten(1)
        return matrix, self.scale * (up @ inner + self.bias)


class Fronted(nn.Module):
    """A frozen projection, linear or a 1×1 convolution, preceded by an adapter that other projections may share."""

    def __init__(self, base: nn.Linear | nn.Conv2d, adapter: LinearAdapter) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, features: Tensor) -> Tensor:
        """Return the output in the projection's own layout."""
        output: Tensor = self.base(self.adapter(features))
        return output

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """Return the projection with the adapter merged into its weight and bias."""
        layer, (matrix, shift) = deepcopy(self.base), self.adapter.affine()
        weight = layer.weight.flatten(1)
        bias = weight @ shift if layer.bias is None else layer.bias + weight @ shift
        layer.weight, layer.bias = nn.Parameter((weight @ matrix).view_as(layer.weight)), nn.Parameter(bias)
        return layer


@dataclass(frozen=True)
class RepAdapter(BottleneckMethod):
    """Linear bottlenecks between norm and mixer and between norm and mlp of every block.

    Each branch has one adapter, shared by the projections that read the normed features. Each projection applies the
    adapter to its own input; adapter and projection therefore merge exactly, even if a positional encoding is added
    between the norm and the projection. In a decoder's cross-attention the adapter precedes only the query; the
    encoder's output stays unchanged.

    Source: Luo et al., Towards Efficient Visual Adaption via Structural Re-parameterization, 2023, §3.2, with the
    initialisation and the dropout of the authors' code. The authors' eight channels in two groups correspond to rank 4
    here. The authors choose the scale from 0.1 to 10 for each task.

    Attributes:
        rank: number of channels of each of the two groups of the bottleneck.
    """

    name = "repadapter"
    idea = "A small linear bottleneck precedes every attention and feed-forward layer and merges into its weights."
    paper = Paper.from_bib(__file__, "luo2023towards")
    shared = True

    rank: int = 4

    def adapt(self, backbone: Backbone) -> None:
        """Insert an adapter before each branch."""
        for block in backbone.blocks():
            maps = on_maps(block)
            for branch in block.branches:
                adapter = LinearAdapter(block.width, self.rank, self.scale, self.dropout, maps=maps)
                for site in readers(branch):
                    base = site.module
                    assert isinstance(base, nn.Linear | nn.Conv2d)
                    site.replace(Fronted(base, adapter))

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if a block has an odd number of channels or a projection is not dense, otherwise None."""
        blocks = list(backbone.blocks())
        odd = next((block for block in blocks if block.width % GROUPS), None)
        if odd:
            return f"{backbone.name}: {odd.width} channels of {odd.name} are not even"
        return not_dense(backbone, [site for block in blocks for branch in block.branches for site in readers(branch)])
