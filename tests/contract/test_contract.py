"""Test that the contract accepts correct methods on tokens and on maps."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.commands.scaffold import new
from petlir.benchmark.contract import POINTS, check, networks, target_of
from petlir.benchmark.contract.toy_model import SMALL, tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from tests.contract.broken_weights import Leaks, SharesTensor
from tests.contract.sound import Follows, Sound
from tests.helpers.networks import ConvNet


def failed(method: Method, build: Callable[[], Backbone] = tiny) -> dict[str, str]:
    return {finding.name: finding.detail for finding in check(method, build) if not finding.passed}


@pytest.mark.parametrize("method", [Sound(), Follows()], ids=["alone", "after another"])
def test_a_sound_method_passes_every_point(method):
    findings = check(method)
    assert [finding.name for finding in findings] == list(POINTS)
    assert [finding for finding in findings if not finding.passed] == []


@dataclass(frozen=True)
class Declared(SharesTensor, Leaks):
    """A method that shares and unfreezes weights, and declares both."""

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
