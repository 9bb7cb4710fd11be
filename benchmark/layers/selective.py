"""Methods that train a selection of the backbone's own parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method

WEIGHT_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
"""The learning rates tried in tuning for methods that train large numbers of pre-trained weights."""


@dataclass(frozen=True)
class Subset(Method):
    """A method that trains existing parameters and inserts no modules, so that nothing needs merging."""

    unfreezes = True

    what: ClassVar[str]
    """The name of the trained parameters, such as `biases`; the method needs a backbone with these parameters."""

    @abstractmethod
    def chosen(self, backbone: Backbone) -> Iterator[nn.Parameter]:
        """Yield the parameters to train, including those of all heads; the engine freezes those of unused heads."""

    def adapt(self, backbone: Backbone) -> None:
        """Unfreeze the selected parameters."""
        for parameter in self.chosen(backbone):
            parameter.requires_grad_(True)

    def supports(self, backbone: Backbone) -> str | None:
        """Return a reason if the backbone lacks the parameters that the method trains, otherwise None."""
        return f"{backbone.name} has no {self.what}" if next(self.chosen(backbone), None) is None else None
