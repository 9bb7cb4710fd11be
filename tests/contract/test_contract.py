"""The contract accepts what holds it, on tokens and on maps, and rejects what breaks one point each."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cell import Cell
from petlir.benchmark.commands.scaffold import new
from petlir.benchmark.contract import POINTS, check, networks, target_of
from petlir.benchmark.contract.toy_model import SMALL, tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method, Paper, PriorResults
from petlir.benchmark.plugins import find
from tests.contract.test_broken_methods import FAULTS as BROKEN
from tests.helpers.networks import ConvNet

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


class MergesInPlace(Beside):
    """Empties itself as it is folded."""

    def merged(self) -> nn.Module:
        folded = Beside(len(self.weight))
        folded.load_state_dict(self.state_dict())
        with torch.no_grad():
            self.weight.zero_()
        return folded


class HalfOnly(Beside):
    """Divides by what is not zero in 32 bits only."""

    def forward(self, features: Tensor) -> Tensor:
        offset = features.new_ones(()) if not torch.is_autocast_enabled("cpu") else features.new_zeros(())
        return super().forward(features) / offset


class NoHalf(Beside):
    """Multiplies matrices of the type that autocast has made by those of the parameters' type."""

    def forward(self, features: Tensor) -> Tensor:
        changed = super().forward(features)
        with torch.autocast("cpu", enabled=False):
            return changed @ torch.eye(len(self.weight))


def keep_weights(backbone: Backbone) -> None:
    """Make a frozen weight of each block a buffer of what was inserted there."""
    for block in backbone.blocks():
        weight = block.mlp.sites[0].module.get_parameter("weight")
        block.mlp.hooks.beside[0].kept = nn.Buffer(weight.detach().clone())


@dataclass(frozen=True)
class SavesBackbone(Sound):
    """Keeps copies of frozen weights as buffers, which are stored with every adapter."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        keep_weights(backbone)


@dataclass(frozen=True)
class Leaks(Sound):
    """Leaves a frozen weight trainable that it did not insert."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        next(backbone.blocks()).mlp.sites[0].module.requires_grad_(True)


@dataclass(frozen=True)
class UnfreezesNothing(Sound):
    """Declares that it unfreezes, and does not."""

    unfreezes = True


@dataclass(frozen=True)
class SharesModule(Sound):
    """Puts one module at several places."""

    def adapt(self, backbone: Backbone) -> None:
        one = Beside(next(backbone.blocks()).width)
        for block in backbone.blocks():
            block.mlp.parallel(one)


@dataclass(frozen=True)
class SharesTensor(Sound):
    """Gives its modules one parameter."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        first, *others = (block.mlp.hooks.beside[0] for block in backbone.blocks())
        for module in others:
            module.weight = first.weight


@dataclass(frozen=True)
class SharesMemory(SharesTensor):
    """Gives its modules parameters on the same memory."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        for block in backbone.blocks():
            module = block.mlp.hooks.beside[0]
            module.weight = nn.Parameter(module.get_parameter("weight").detach())


@dataclass(frozen=True)
class ForgetsTheScale(Sound):
    """Has a scale that it does not use."""

    scale: float = 0.5


@dataclass(frozen=True)
class ForgetsAlpha(Sound):
    """Has an optional number that it does not use."""

    alpha: float | None = None


@dataclass(frozen=True)
class Unwritable(Sound):
    """Has an option that no grid can name: commas list values."""

    parts: str = "local,channel"


class Beginning(Beside):
    """Starts from a fixed matrix, which is stored."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.start = nn.Buffer(torch.zeros(width, width))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + features @ self.start


@dataclass(frozen=True)
class Follows(Sound):
    """Requires a cell on another task, and starts from a share of what that has trained."""

    identity = False
    module: ClassVar[type[Beside]] = Beginning

    share: float = 0.5

    def requires(self, cell: Cell) -> list[Cell]:
        return [cell.of(Sound(), "another")]

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        self.adapt(backbone)
        if prior.stored is None:
            self.start(backbone, prior)

    def start(self, backbone: Backbone, prior: PriorResults) -> None:
        (trained,) = prior.adapters
        for block, tensor in zip(backbone.blocks(), trained.values(), strict=True):
            block.mlp.hooks.beside[0].get_buffer("start").copy_(self.share * tensor)


@dataclass(frozen=True)
class ForgetsItsShare(Follows):
    """Takes all, whatever its share."""

    def start(self, backbone: Backbone, prior: PriorResults) -> None:
        Follows(share=1.0).start(backbone, prior)


@dataclass(frozen=True)
class FollowsAndSavesBackbone(Follows):
    """Stores frozen weights beside what it required."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        keep_weights(backbone)


@dataclass(frozen=True)
class AsksAgain(Follows):
    """Cannot be loaded without what it required."""

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        self.adapt(backbone)
        self.start(backbone, prior)


FAULTS: dict[str, list[Method]] = {
    "identity at the start": [with_module(NotZero)],
    "frozen weights stay": [ScalesFrozen(), with_module(Drifts)],
    "trains what it says": [Nothing(), Baseline()],
    "gradients reach all": [with_module(Unused)],
    "saves and loads": [with_module(Hidden), AsksAgain()],
    "merges exactly": [with_module(MergesWrong), with_module(MergesInPlace)],
    "repeats from a seed": [with_module(OwnEntropy)],
    "leaves no trace": [with_module(UsesNumpy)],
    "images stay apart": [with_module(MixesImages), with_module(Fails)],
    "sizes": [SizeWithoutEffect(), SizeZero()],
    "options act": [ForgetsTheScale(), ForgetsAlpha(), ForgetsItsShare()],
    "named in a grid": [Unwritable()],
    "unfreezes what it says": [Leaks(), UnfreezesNothing()],
    "shares what it says": [SharesModule(), SharesTensor(), SharesMemory()],
    "stores its own": [SavesBackbone(), FollowsAndSavesBackbone()],
    "mixed precision": [with_module(HalfOnly), with_module(NoHalf)],
    "described": [Nameless(), Idealess(), Undocumented(), Paperless()],
    "frozen dataclass": [NoDataclass(), NotJson()],
}


DECLARED = {"described", "frozen dataclass", "named in a grid", "sizes", "options act"}
DECLARED |= {"unfreezes what it says", "shares what it says"}
ALSO = {
    "Fails": set(POINTS) - DECLARED,
    "Nameless": {"named in a grid"},
    "NotJson": {"named in a grid"},
}
"""Further points that a fault cannot but break: a forward pass that fails breaks all that use it."""


def failed(method: Method, build: Callable[[], Backbone] = tiny) -> dict[str, str]:
    return {finding.name: finding.detail for finding in check(method, build) if not finding.passed}


@pytest.mark.parametrize("method", [Sound(), Follows()], ids=["alone", "after another"])
def test_a_sound_method_passes_every_point(method):
    assert failed(method) == {}
    assert [finding.name for finding in check(method)] == list(POINTS)


@pytest.mark.parametrize(
    ("point", "method"),
    [(point, method) for point, methods in FAULTS.items() for method in methods],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_method_fails_the_point_that_it_breaks_and_no_other(point, method):
    details = failed(method)
    assert set(details) == {point} | ALSO.get(type(method).__name__, set())
    assert all(detail and "\n" not in detail for detail in details.values())


def test_every_point_has_a_method_that_breaks_it():
    assert set(FAULTS) | set(BROKEN) == set(POINTS)


@dataclass(frozen=True)
class Declared(SharesTensor, Leaks):
    """Shares and unfreezes, and says both."""

    shared = True
    unfreezes = True


def test_what_is_declared_is_no_fault():
    assert failed(Declared()) == {}


@pytest.mark.parametrize("family", SMALL)
def test_a_new_method_holds_it_on_a_small_network_of_every_family(family, tmp_path):
    method = target_of(f"{new('method', 'my-method', tmp_path)}:MyMethod")
    assert isinstance(method, Method)
    network = SMALL[family]()
    assert sum(parameter.numel() for parameter in network.parameters()) < 300_000
    assert failed(method, SMALL[family]) == {}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name == "colora" else [])  # as long as all others together
        for name in find().methods
        if ":" not in name
    ],
)
def test_built_in_methods_hold_it_on_maps_too(name):
    method = find().method(name)()
    obstacle, findings = method.supports(ConvNet()), check(method, ConvNet)
    if obstacle:
        assert [(finding.applicable, obstacle in finding.detail) for finding in findings] == [(False, True)]
    else:
        assert [finding for finding in findings if not finding.passed] == []


def test_a_network_is_a_family_in_small_or_a_backbone_of_its_name():
    assert networks().keys() == SMALL.keys()
    chosen = networks("nafnet,nafnet-nano")
    small, nano = (chosen[name]().blocks() for name in ("nafnet", "nafnet-nano"))
    assert (next(small).width, next(nano).width) == (8, 16)
    with pytest.raises(PetlirError, match="did you mean 'nafnet'"):
        networks("nafnett")


def test_a_target_is_a_grid_item_or_a_class_of_a_file(tmp_path):
    adapter = target_of("adapter[rank=2]")
    assert isinstance(adapter, Method) and adapter.label == "adapter[rank=2]"
    with pytest.raises(PetlirError, match="names 2 methods, expected one"):
        target_of("adapter[rank=2,3]")
    path = new("method", "my-method", tmp_path)
    mine = target_of(f"{path}:MyMethod")
    assert isinstance(mine, Method) and mine.name == "my-method"
    with pytest.raises(PetlirError, match="did you mean 'MyMethod'"):
        target_of(f"{path}:MyMetod")
