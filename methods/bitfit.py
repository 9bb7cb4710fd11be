"""BitFit: only the biases are trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.layers.selective import Subset
from petlir.benchmark.method import Paper


@dataclass(frozen=True)
class BitFit(Subset):
    """All biases in projections, convolutions, norms, head and tail that affect the output of the head in use.

    No bias is added to a network without biases, so the method is not applicable to Restormer with bias-free norms. The
    bias of the key projection is trained like other biases but has no effect: it adds the same constant to all logits
    of a query.

    Source: Ben Zaken et al., BitFit, ACL 2022, §3.
    """

    name = "bitfit"
    idea = "Only the biases that the network already has are trained."
    paper = Paper.from_bib(__file__, "benzaken2022bitfit", licence="Apache-2.0")
    what = "biases"

    def chosen(self, backbone: Backbone) -> Iterator[nn.Parameter]:
        """Yield every bias except the network's constants."""
        tunable = set(backbone.tunable(None))
        for name, parameter in backbone.named_parameters():
            if name.rpartition(".")[2] == "bias" and parameter in tunable:
                yield parameter

    def zero_grad_parameters(self) -> tuple[str, ...]:
        """Return the suffix of the keys' biases; they have no effect, as softmax ignores an added constant."""
        return (".key.bias",)
