"""Each broken method fails the point that names its fault, and no other."""

from __future__ import annotations

from collections import ChainMap

import pytest

from petlir.benchmark.contract import POINTS, check
from petlir.benchmark.contract.toy_model import tiny
from tests.contract import broken_options, broken_outputs, broken_repetition, broken_storage, broken_weights
from tests.contract.sound import Beside, Sound, method_of
from tests.helpers.networks import ConvNet

TABLES = [kinds.FAULTS for kinds in (broken_options, broken_outputs, broken_repetition, broken_storage, broken_weights)]
MAPS = {"OneMapSize", "CropsToEven", "DividesBySpread", "RootOfVariance", "RectifiesInput"}
"""Faults that show on a network of maps of any size."""
DECLARED = {
    "described", "frozen dataclass", "named in a grid", "sizes", "options act", "unfreezes what it says",
    "shares what it says",
}  # fmt: skip
"""Points that hold whatever the forward pass does."""
ALSO = {
    "ChangesItself": {"repeats from a seed"},
    "Fails": set(POINTS) - DECLARED,
    "LearnsNumber": {"repeats from a seed"},
    "MovesBuffer": {"repeats from a seed"},
    "Nameless": {"named in a grid"},
    "NotJson": {"named in a grid"},
    "Numbered": {"saves and loads"},
    "RemembersFirst": {"training and evaluation agree"},
}
"""Further points that a fault cannot but break."""
FURTHER = {"RectifiesInput", "UnfreezesLater", "GrowsLater"}
"""Faults that break many points: autograd refuses the first, and the others' tensors are not those of the start."""


def test_every_point_has_a_method_that_breaks_it():
    assert sum(map(len, TABLES)) == len(POINTS)
    assert set(ChainMap(*map(dict, TABLES))) == set(POINTS)


@pytest.mark.parametrize(
    ("point", "kind"),
    [(point, kind) for faults in TABLES for point, kinds in faults.items() for kind in kinds],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_broken_method_fails_the_point_that_it_breaks_and_no_other(point: str, kind: type[Sound] | type[Beside]):
    name = kind.__name__
    findings = check(method_of(kind), ConvNet if name in MAPS else tiny)
    failed = {finding.name: finding.detail for finding in findings if not finding.passed}
    if name in FURTHER:
        assert not failed[point].startswith("RuntimeError")
    else:
        assert set(failed) == {point} | ALSO.get(name, set()), failed
    assert all(detail and "\n" not in detail for detail in failed.values())
