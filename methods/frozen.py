"""Frozen: the pre-trained backbone without training."""

from __future__ import annotations

from dataclasses import dataclass

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method


@dataclass(frozen=True)
class Frozen(Method):
    """The pre-trained backbone with its head for the task; the baseline for every method."""

    name = "frozen"
    idea = "The pre-trained network as it is, without any training."
    reference = True
    trains = False

    def adapt(self, backbone: Backbone) -> None:
        """Leave `backbone` unchanged."""
