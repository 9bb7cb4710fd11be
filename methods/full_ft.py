"""Full fine-tuning: every weight of the backbone is trained."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.backbone import Backbone
from benchmark.method import Method, Published


@dataclass(frozen=True)
class FullFineTuning(Method):
    """All weights of body, head and tail in use; the reference that PETL methods are measured by."""

    name = "full-ft"
    idea = "Every weight of the network is trained and stored anew for each task."
    tunes_backbone = True
    rates = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)

    def adapt(self, backbone: Backbone) -> None:
        """Unfreeze all heads; the engine freezes again those that are not in use."""
        for parameter in backbone.tunable(None):
            parameter.requires_grad_(True)

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """The AdaptIR paper's count, which is of all heads."""
        return [Published(cls(), "119M", "all six heads; a task trains one of them")] if backbone == "ipt" else []
