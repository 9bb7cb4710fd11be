"""Methods that break one point on their description and options each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import PriorResults
from tests.contract.sound import Beside, Follows, Sound, first

# described


@dataclass(frozen=True)
class Nameless(Sound):
    """Has a name that no grid can hold."""

    name = "No Name"


@dataclass(frozen=True)
class Idealess(Sound):
    """Has no idea."""

    idea = ""


@dataclass(frozen=True)
class Undocumented(Sound):
    pass


Undocumented.__doc__ = "Undocumented()"


@dataclass(frozen=True)
class Paperless(Sound):
    """Cites nothing."""

    paper = None


# frozen dataclass


class NoDataclass(Sound):
    """Forgets the decorator."""

    def __init__(self) -> None:
        super().__init__()


@dataclass(frozen=True)
class NotJson(Sound):
    """Has an option that no record can hold."""

    factor: complex = 1j


@dataclass(frozen=True)
class ChangesItself(Sound):
    """Changes its own option as it adapts."""

    scale: float = 1.0

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        nn.init.constant_(first(backbone).layer.get_parameter("weight"), 1e-9 * self.scale)
        object.__setattr__(self, "scale", self.scale + 1)


# named in a grid


@dataclass(frozen=True)
class Unwritable(Sound):
    """Has an option that no grid can name: commas list values."""

    parts: str = "local,channel"


# sizes


@dataclass(frozen=True)
class SizeWithoutEffect(Sound):
    """Has a size that changes nothing."""

    size = "rank"
    rank: int = 2


@dataclass(frozen=True)
class SizeZero(Sound):
    """Lets the size be zero."""

    size = "rank"
    rank: int = 2

    def __post_init__(self) -> None:
        pass

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            for _ in range(self.rank):
                block.mlp.parallel(Beside(block))


# options act


@dataclass(frozen=True)
class ForgetsTheScale(Sound):
    """Has a scale that it does not use."""

    scale: float = 0.5


@dataclass(frozen=True)
class ForgetsAlpha(Sound):
    """Has an optional number that it does not use."""

    alpha: float | None = None


@dataclass(frozen=True)
class ForgetsItsShare(Follows):
    """Takes all, whatever its share."""

    def start(self, backbone: Backbone, prior: PriorResults) -> None:
        Follows(share=1.0).start(backbone, prior)


@dataclass(frozen=True)
class IdleSwitch(Sound):
    """Has a switch that it does not use."""

    gated: bool = False


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "described": [Nameless, Idealess, Undocumented, Paperless],
    "frozen dataclass": [NoDataclass, NotJson, ChangesItself],
    "named in a grid": [Unwritable],
    "sizes": [SizeWithoutEffect, SizeZero],
    "options act": [ForgetsTheScale, ForgetsAlpha, ForgetsItsShare, IdleSwitch],
}
