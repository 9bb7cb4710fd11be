"""Test that each broken method fails the point that names its fault, and no other point."""

from __future__ import annotations

from collections import ChainMap

import pytest
from _pytest.mark import ParameterSet

from petlir.benchmark.contract import POINTS, examine, findings
from petlir.benchmark.contract.toy_model import ToyTrial, tiny
from tests.contract import broken_options, broken_outputs, broken_repetition, broken_storage, broken_weights
from tests.contract.sound import Beside, Sound, method_of
from tests.helpers.networks import ConvNet

TABLES = [kinds.FAULTS for kinds in (broken_options, broken_outputs, broken_repetition, broken_storage, broken_weights)]
MAPS = {"OneMapSize", "CropsToEven", "DividesBySpread", "RootOfVariance", "RectifiesInput"}
"""Faults that show only on a network of maps that accepts images of any size."""
DECLARED = {
    "described", "frozen dataclass", "named in a grid", "sizes", "options act", "unfreezes what it says",
    "shares what it says",
}  # fmt: skip
"""Points that do not depend on the forward pass."""
ALSO = {
    "ChangesItself": {"repeats from a seed"},
    "DrawsDefault": {"options act"},
    "Fails": set(POINTS) - DECLARED,
    "LearnsNumber": {"repeats from a seed"},
    "MovesBuffer": {"repeats from a seed"},
    "Nameless": {"named in a grid"},
    "NotJson": {"named in a grid"},
    "Numbered": {"saves and loads"},
    "RemembersFirst": {"training and evaluation agree"},
}
"""Further points that a fault breaks inevitably."""
FURTHER = {"RectifiesInput", "UnfreezesLater", "GrowsLater", "Lazy", "SharedByNetworks"}
"""Faults that break many points: autograd refuses the first one, and the others change the set of trained tensors or
share them with other networks."""


def test_every_point_has_a_method_that_breaks_it():
    assert sum(map(len, TABLES)) == len(POINTS)
    assert set(ChainMap(*map(dict, TABLES))) == set(POINTS)


def faults(*, whole: bool) -> list[ParameterSet]:
    """Return one case per fault.

    If the whole contract is checked, all but the first case of each point are marked `long`.
    """
    return [
        pytest.param(point, kind, id=f"{point}-{kind.__name__}", marks=[pytest.mark.long] if whole and place else [])
        for table in TABLES
        for point, kinds in table.items()
        for place, kind in enumerate(kinds)
    ]


def trial_of(kind: type[Sound] | type[Beside]) -> ToyTrial:
    return ToyTrial(method_of(kind), ConvNet if kind.__name__ in MAPS else tiny)


@pytest.mark.parametrize(("point", "kind"), faults(whole=False))
def test_a_broken_method_fails_the_point_that_it_breaks(point: str, kind: type[Sound] | type[Beside]):
    found = examine(point, trial_of(kind))
    assert not found.passed and found.detail and "\n" not in found.detail
    assert kind.__name__ not in FURTHER or not found.detail.startswith("RuntimeError")


@pytest.mark.parametrize(("point", "kind"), faults(whole=True))
def test_a_broken_method_fails_no_other_point(point: str, kind: type[Sound] | type[Beside]):
    name = kind.__name__
    failed = {finding.name: finding.detail for finding in findings(trial_of(kind)) if not finding.passed}
    if name in FURTHER:
        assert not failed[point].startswith("RuntimeError")
    else:
        assert set(failed) == {point} | ALSO.get(name, set()), failed
    assert all(detail and "\n" not in detail for detail in failed.values())
