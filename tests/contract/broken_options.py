"""Methods whose description or options break one point of the contract each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import PriorResults, Published
from tests.contract.sound import Beside, Follows, Sound, first

# described


@dataclass(frozen=True)
class Nameless(Sound):
    """A method whose name cannot be used in a grid."""

    name = "No Name"


@dataclass(frozen=True)
class Idealess(Sound):
    """A method without a summary of its idea."""

    idea = ""


@dataclass(frozen=True)
class Undocumented(Sound):
    pass


Undocumented.__doc__ = "Undocumented()"


@dataclass(frozen=True)
class Paperless(Sound):
    """A method without a citation."""

    paper = None


@dataclass(frozen=True)
class KnowsOneBackbone(Sound):
    """A method whose `published` raises an error for all backbones but one."""

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        return {"ipt": [Published(cls(), "1K")]}[backbone]


# frozen dataclass


class NoDataclass(Sound):
    """A method without the dataclass decorator."""

    def __init__(self) -> None:
        super().__init__()


@dataclass(frozen=True)
class NotJson(Sound):
    """A method with an option that cannot be stored in a record."""

    factor: complex = 1j


@dataclass(frozen=True)
class ChangesItself(Sound):
    """A method whose `adapt` changes one of its own options."""

    scale: float = 1.0

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        nn.init.constant_(first(backbone).layer.get_parameter("weight"), 1e-9 * self.scale)
        object.__setattr__(self, "scale", self.scale + 1)


@dataclass(frozen=True)
class DrawsDefault(Sound):
    """A method with an option whose default differs between instances."""

    seed: int = field(default_factory=itertools.count(1).__next__)


# named in a grid


@dataclass(frozen=True)
class Unwritable(Sound):
    """A method with an option whose value cannot be written in a grid, since commas separate values."""

    parts: str = "local,channel"


# sizes


@dataclass(frozen=True)
class SizeWithoutEffect(Sound):
    """A method whose size option changes nothing."""

    size = "rank"
    rank: int = 2


@dataclass(frozen=True)
class SizeZero(Sound):
    """A method that accepts a size of zero."""

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
    """A method that ignores its scale option."""

    scale: float = 0.5


@dataclass(frozen=True)
class ForgetsAlpha(Sound):
    """A method that ignores an optional number."""

    alpha: float | None = None


@dataclass(frozen=True)
class ForgetsItsShare(Follows):
    """A method that uses the whole matrix, whatever its option `share` says."""

    def start(self, backbone: Backbone, prior: PriorResults) -> None:
        Follows(share=1.0).start(backbone, prior)


@dataclass(frozen=True)
class IdleSwitch(Sound):
    """A method that ignores its switch."""

    gated: bool = False


FAULTS: Mapping[str, list[type[Sound] | type[Beside]]] = {
    "described": [Nameless, Idealess, Undocumented, Paperless, KnowsOneBackbone],
    "frozen dataclass": [NoDataclass, NotJson, ChangesItself, DrawsDefault],
    "named in a grid": [Unwritable],
    "sizes": [SizeWithoutEffect, SizeZero],
    "options act": [ForgetsTheScale, ForgetsAlpha, ForgetsItsShare, IdleSwitch],
}
