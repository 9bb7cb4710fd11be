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
    """A module that draws its weights anew, as torch's own layers do."""

    def reset_parameters(self) -> None:
        """Draw them."""


def holders(backbone: Backbone) -> Iterator[nn.Module]:
    """The modules that hold weights of their own, without the network's constants and heads that are not in use."""
    tunable = set(backbone.tunable(backbone.head_in_use))
    for module in backbone.modules():
        if any(parameter in tunable for parameter in module.parameters(recurse=False)):
            yield module


@dataclass(frozen=True)
class Scratch(FullFineTuning):
    """Full fine-tuning without the pre-training: what are the pre-trained weights worth?

    Every layer draws its weights as a new one of its kind does; constants such as IPT's mean colour stay.
    """

    name = "scratch"
    idea = "The same network is trained from random weights."
    identity = False
    rates = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

    def adapt(self, backbone: Backbone) -> None:
        """Draw all weights anew, from the cell's seed, and unfreeze them."""
        super().adapt(backbone)
        for module in holders(backbone):
            assert isinstance(module, Drawn)
            module.reset_parameters()

    def supports(self, backbone: Backbone) -> str | None:
        """Every layer must be able to; else what was pre-trained would stay in some."""
        fixed = next((module for module in holders(backbone) if not isinstance(module, Drawn)), None)
        return None if fixed is None else f"{backbone.name}: {type(fixed).__name__} cannot draw its weights anew"

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """No paper counts it apart from full fine-tuning."""
        return []
