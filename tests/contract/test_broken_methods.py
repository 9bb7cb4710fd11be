"""Each broken method fails the point that names its fault, and no other."""

from __future__ import annotations

import pytest

from petlir.benchmark.contract import check
from petlir.benchmark.contract.toy_model import tiny
from tests.contract import broken_methods as broken
from tests.helpers.networks import ConvNet

MAPS = {"OneMapSize", "CropsToEven", "DividesBySpread", "RootOfVariance", "RectifiesInput"}
"""Faults that show on a network of maps of any size."""
FAULTS = {
    "repeats from a seed": ["ChoosesByHash", "DrawsInSetOrder", "Numbered", "SeededByProcess"],
    "shares what it says": ["OverlappingViews", "BufferOnWeight"],
    "any image size": ["OneMapSize", "CropsToEven", "Double"],
    "constant images": ["DividesBySpread", "RootOfVariance"],
    "any number of threads": ["ScalesByThreads", "ScalesByThreadsInTraining", "WidensByThreads"],
    "leaves no trace": [
        "PatchesFunction",
        "PatchesLayer",
        "HooksEveryModule",
        "SetsEnvironment",
        "DropsByNumpy",
        "InsertsWhenAsked",
    ],
    "frozen weights stay": ["MovesNorm"],
    "evaluation repeats": ["Counts", "RemembersFirst", "MovesBuffer", "OwnNoise"],
    "training and evaluation agree": ["TrainsForNothing", "DoublesInTraining"],
    "inputs stay": ["RectifiesInput", "DarkensImages"],
    "trains what it says": ["UnfreezesLater", "GrowsLater"],
    "merges exactly": ["ForgetsBias"],
    "images stay apart": ["FirstImageGates"],
    "saves and loads": ["LearnsNumber", "ForgetsBuffer"],
    "frozen dataclass": ["ChangesItself"],
    "options act": ["IdleSwitch"],
}
ALSO = {
    "ChangesItself": {"repeats from a seed"},
    "LearnsNumber": {"repeats from a seed"},
    "MovesBuffer": {"repeats from a seed"},
    "Numbered": {"saves and loads"},
    "RemembersFirst": {"training and evaluation agree"},
}
"""Further points that a fault cannot but break."""

FURTHER = {"RectifiesInput", "UnfreezesLater", "GrowsLater"}
"""Faults that break many points: autograd refuses the first, and the others' tensors are not those of the start."""


@pytest.mark.parametrize(("point", "name"), [(point, name) for point, names in FAULTS.items() for name in names])
def test_a_broken_method_fails_the_point_that_it_breaks_and_no_other(point, name):
    method = broken.METHODS.get(name) or getattr(broken, name)
    findings = check(method(), ConvNet if name in MAPS else tiny)
    failed = {finding.name: finding.detail for finding in findings if not finding.passed}
    if name in FURTHER:
        assert not failed[point].startswith("RuntimeError")
    else:
        assert set(failed) == {point} | ALSO.get(name, set()), failed
    assert all(detail and "\n" not in detail for detail in failed.values())
