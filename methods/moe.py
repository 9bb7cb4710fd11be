"""MoE: AdaptIR's bottleneck with identical experts, a control for AdaptIR's mixture of different experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, OnMap
from petlir.benchmark.method import Method, Published
from petlir.methods.adaptir import AdaptIR, low_rank_convolution

EXPERTS = 3


class Experts(nn.Module):
    """A down-projection, batch norm, a sum of identical local branches, and an up-projection that starts at zero.

    Args:
        width: number of channels of the map.
        hidden: number of channels of the hidden features.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        half = max(1, hidden // 2)
        self.head = nn.Conv2d(width, hidden, 1)
        self.BN = nn.BatchNorm2d(hidden)
        self.weight_a = nn.Parameter(torch.empty(EXPERTS, hidden, half))
        self.weight_b = nn.Parameter(torch.empty(EXPERTS, half, 9))
        self.bias = nn.Parameter(torch.zeros(EXPERTS, hidden))
        self.tail = nn.Conv2d(hidden, width, 1, bias=False)
        for factor in (*self.weight_a, *self.weight_b):
            nn.init.kaiming_uniform_(factor, a=5**0.5)
        nn.init.zeros_(self.tail.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for an N×C×H×W map, in the same shape."""
        return cast("Tensor", self.tail(sum(self.responses(features).values())))

    def responses(self, features: Tensor) -> dict[str, Tensor]:
        """Return each expert's output for an N×C×H×W map, as N×h×H×W."""
        inside = self.BN(self.head(features))
        experts = zip(self.weight_a, self.weight_b, self.bias, strict=True)
        return {
            f"expert {number}": low_rank_convolution(inside, *expert) for number, expert in enumerate(experts, start=1)
        }


@dataclass(frozen=True)
class MoE(Method):
    """AdaptIR's module with three identical local branches, which are summed, parallel to every mlp.

    The AdaptIR paper compares its module with a mixture of identical experts but does not define it. A sum of identical
    bottlenecks would equal a single bottleneck of AdaptFormer as wide as all of them together. petlir therefore defines
    MoE as AdaptIR's module with identical branches. As a sum of convolutions is a convolution, the branches could be
    merged into one, but training them differs from training a single branch.

    Source: Guo et al., Parameter Efficient Adaptation for Image Restoration with Heterogeneous
    Mixture-of-Experts, NeurIPS 2024, where a mixture of identical experts is a control; the definition is petlir's own.

    Attributes:
        hidden: number of channels of the hidden features; by default 1/24 of the width.
    """

    name = "moe"
    idea = "AdaptIR with three identical local branches, summed, as a control for AdaptIR's different branches."
    paper = AdaptIR.paper
    size = "hidden"

    hidden: int | None = None

    def adapt(self, backbone: Backbone) -> None:
        """Insert a module with identical experts parallel to each mlp."""
        for block in backbone.blocks():
            module = Experts(block.width, self.hidden or max(1, block.width // 24))
            block.mlp.parallel(OnMap(module, block.layout))

    def zero_grad_parameters(self) -> tuple[str, ...]:
        """Return the name of the bias before the batch norm, which cancels this bias."""
        return (".head.bias",)

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return the AdaptIR paper's parameter count for MoE; petlir's definition of MoE does not match this count."""
        note = "not derivable: several definitions fit, none of them natural; ours is 695,520"
        return [Published(cls(), "667K", note, 695_520)] if backbone == "ipt" else []
