"""The contract accepts what holds it, on tokens and on maps, and rejects what breaks one point each."""

import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone
from benchmark.contract import POINTS, check
from benchmark.method import Method, Paper
from benchmark.plugins import find
from tests.networks import ConvNet

PAPER = Paper("A title", "Someone", "2024", "@misc{someone}")


class Beside(nn.Module):
    """A linear layer that starts at zero: the sound module that each fault is put into."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, width))

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.weight


@dataclass(frozen=True)
class Sound(Method):
    """Holds every point."""

    name = "sound"
    idea = "A sentence."
    paper: ClassVar[Paper | None] = PAPER

    module: ClassVar[type[Beside]] = Beside

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            block.mlp.parallel(self.module(block.width))


class NotZero(Beside):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        nn.init.eye_(self.weight)


class Hidden(Beside):
    """Its output depends on a tensor that is neither parameter nor buffer."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.fixed = torch.randn(width)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.fixed


class Unused(Beside):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.unused = nn.Parameter(torch.zeros(3))


class MergesWrong(Beside):
    def merged(self) -> nn.Module:
        return NotZero(len(self.weight))


class MixesImages(Beside):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features - features.mean(0))


class UsesNumpy(Beside):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        np.random.rand()


class OwnEntropy(Beside):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gain = nn.Parameter(torch.tensor(float(os.urandom(1)[0])))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.gain


class Drifts(Beside):
    """Moves one of its own frozen parameters as it trains."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.frozen.data += 1
        return super().forward(features)


class Fails(Beside):
    def forward(self, features: Tensor) -> Tensor:
        raise RuntimeError("the forward pass fails\non two lines")


def with_module(module: type[Beside]) -> Method:
    @dataclass(frozen=True)
    class Faulty(Sound):
        """Inserts a faulty module."""

    Faulty.module, Faulty.__name__ = module, module.__name__
    return Faulty()


@dataclass(frozen=True)
class ScalesFrozen(Sound):
    """Changes a frozen weight as it adapts."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        with torch.no_grad():
            next(backbone.blocks()).norms[0].module.get_parameter("weight").mul_(1 + 1e-6)


@dataclass(frozen=True)
class Nothing(Sound):
    """Has nothing to train, and says it trains."""

    def adapt(self, backbone: Backbone) -> None:
        pass


@dataclass(frozen=True)
class Baseline(Sound):
    """Trains, and says it does not."""

    trains = False


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


class NoDataclass(Sound):
    """Forgets the decorator."""

    def __init__(self) -> None:
        super().__init__()


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
                block.mlp.parallel(Beside(block.width))


@dataclass(frozen=True)
class NotJson(Sound):
    """Has an option that no record can hold."""

    factor: complex = 1j


FAULTS: dict[str, list[Method]] = {
    "identity at the start": [with_module(NotZero)],
    "frozen weights stay": [ScalesFrozen(), with_module(Drifts)],
    "trains what it says": [Nothing(), Baseline()],
    "gradients reach all": [with_module(Unused)],
    "saves and loads": [with_module(Hidden)],
    "merges exactly": [with_module(MergesWrong)],
    "repeats from a seed": [with_module(OwnEntropy)],
    "leaves no trace": [with_module(UsesNumpy)],
    "images stay apart": [with_module(MixesImages), with_module(Fails)],
    "sizes": [SizeWithoutEffect(), SizeZero()],
    "described": [Nameless(), Idealess(), Undocumented(), Paperless()],
    "frozen dataclass": [NoDataclass(), NotJson()],
}


def failed(method: Method) -> dict[str, str]:
    return {finding.name: finding.detail for finding in check(method) if not finding.passed}


def test_a_sound_method_passes_every_point():
    assert failed(Sound()) == {}
    assert [finding.name for finding in check(Sound())] == list(POINTS)


@pytest.mark.parametrize(
    ("point", "method"),
    [(point, method) for point, methods in FAULTS.items() for method in methods],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_method_fails_the_point_that_it_breaks(point, method):
    details = failed(method)
    assert point in details
    assert details[point]
    assert "\n" not in details[point]


def test_every_point_has_a_method_that_breaks_it():
    assert set(FAULTS) == set(POINTS)


@pytest.mark.parametrize("name", list(find().methods))
def test_built_in_methods_hold_it_on_maps_too(name):
    findings = check(find().method(name)(), ConvNet)
    if name == "cascade":
        assert findings[0].detail.startswith("conv-tiny has a single head")
    else:
        assert [finding for finding in findings if not finding.passed] == []
