"""Methods that train a choice of the backbone's own parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method

WEIGHT_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
"""The learning rates that tuning tries where pre-trained weights are trained at large."""


@dataclass(frozen=True)
class Subset(Method):
    """A method that inserts nothing, so that there is nothing to fold either."""

    unfreezes = True

    what: ClassVar[str]
    """What it trains, e.g. `biases`; a backbone without any is not applicable."""

    @abstractmethod
    def chosen(self, backbone: Backbone) -> Iterator[nn.Parameter]:
        """The parameters that it trains, of all heads; the engine freezes again those of heads that are not in use."""

    def adapt(self, backbone: Backbone) -> None:
        """Unfreeze what is chosen."""
        for parameter in self.chosen(backbone):
            parameter.requires_grad_(True)

    def supports(self, backbone: Backbone) -> str | None:
        """There must be something to train."""
        return f"{backbone.name} has no {self.what}" if next(self.chosen(backbone), None) is None else None
