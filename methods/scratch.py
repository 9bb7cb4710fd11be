"""From scratch: the whole network is trained from random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Published
from petlir.methods.full_ft import FullFineTuning


@runtime_checkable
class Drawn(Protocol):
    """A module that can reinitialise its weights, as torch's own layers can."""

    def reset_parameters(self) -> None:
        """Reinitialise the weights."""


def holders(backbone: Backbone) -> Iterator[nn.Module]:
    """Yield the modules that own weights, without the network's constants and the unused heads."""
    tunable = set(backbone.tunable(backbone.head_in_use))
    for module in backbone.modules():
        if any(parameter in tunable for parameter in module.parameters(recurse=False)):
            yield module


@dataclass(frozen=True)
class Scratch(FullFineTuning):
    """Full fine-tuning without pre-training, to measure the value of the pre-trained weights.

    Every layer is initialised like a new layer of its type. Constants such as IPT's mean colour are kept.
    """

    name = "scratch"
    idea = "The same network is trained from random weights."
    identity = False
    rates = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

    def adapt(self, backbone: Backbone) -> None:
        """Reinitialise all weights from the cell's seed and unfreeze them."""
        super().adapt(backbone)
        for module in holders(backbone):
            assert isinstance(module, Drawn)
            module.reset_parameters()

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if a layer cannot reinitialise its weights and would keep the old ones, otherwise None."""
        fixed = next((module for module in holders(backbone) if not isinstance(module, Drawn)), None)
        return None if fixed is None else f"{backbone.name}: {type(fixed).__name__} cannot reinitialise its weights"

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return an empty list, as no paper lists this baseline separately from full fine-tuning."""
        return []
