"""Common options of methods with a scaled bottleneck."""

from __future__ import annotations

from dataclasses import dataclass

from petlir.benchmark.layers.pointwise import check_share
from petlir.benchmark.method import Method


@dataclass(frozen=True)
class BottleneckMethod(Method):
    """A method that inserts scaled bottlenecks.

    Attributes:
        rank: number of channels of the bottleneck.
        scale: factor of the bottleneck's output.
        dropout: dropout probability of the bottleneck's values in training.
    """

    size = "rank"

    rank: int = 8
    scale: float = 1.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(f"{self.name}: dropout", self.dropout)
