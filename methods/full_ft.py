"""Full fine-tuning: every weight of the backbone is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.layers.selective import WEIGHT_RATES, Subset
from petlir.benchmark.method import Published


@dataclass(frozen=True)
class FullFineTuning(Subset):
    """All weights of the body and of the head and tail in use; the reference for PETL methods."""

    name = "full-ft"
    idea = "Every weight of the network is trained and stored anew for each task."
    what = "weights"
    reference = True
    tunes_backbone = True
    rates = WEIGHT_RATES

    def chosen(self, backbone: Backbone) -> Iterator[nn.Parameter]:
        """Yield all weights except the network's constants."""
        yield from backbone.tunable(None)

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return the parameter counts of full fine-tuning in the AdaptIR paper."""
        settings = {
            "ipt": Published(cls(), "119M", "all six heads; a task trains one of them"),
            "edt-b": Published(cls(), "11.6M", "the network for ×4 alone"),
        }
        return [settings[backbone]] if backbone in settings else []
