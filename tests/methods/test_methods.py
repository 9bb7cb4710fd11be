"""Test properties that all methods have in common."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from petlir.benchmark.backbones.ipt import IPT
from petlir.benchmark.contract import check
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from petlir.benchmark.task import Task
from petlir.methods.adaptformer import AdaptFormer
from petlir.methods.cascade import Cascade

METHODS: Mapping[str, type[Method]] = {name: method for name, method in find().methods.items() if ":" not in name}
"""All methods except families such as `peft:…`, which have their own tests."""
SIZES = {name: method.size for name, method in METHODS.items() if method.size}
HYBRID = Task("hybrid", "Hybrid", GaussianNoise(30), ("y",), {}, undo=("denoise_30", "sr_x2"), scale=2)


FEWER = {"colora": {"images": 2}}
"""Options that shorten the preparation of a method and that no point of the contract depends on."""


@pytest.mark.parametrize("name", METHODS)
def test_keeps_the_contract(name):
    assert [finding for finding in check(METHODS[name](**FEWER.get(name, {}))) if not finding.passed] == []


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [0, -1])
def test_an_impossible_size_is_one_clear_line(name, value):
    with pytest.raises(PetlirError, match=rf"{name}: \w+ is {value}, expected") as caught:
        METHODS[name](**{SIZES[name]: value})
    assert "\n" not in str(caught.value)


def test_an_impossible_dropout_is_one_clear_line():
    with pytest.raises(PetlirError, match="dropout is 1"):
        AdaptFormer(dropout=1.0)


def test_a_cascade_goes_through_the_head_of_each_part():
    assert Cascade().heads(tiny(), HYBRID) == ("denoise_30", "sr_x2")
    assert Cascade().applies(HYBRID) is None
    assert "several degradations" in str(Cascade().applies(replace(HYBRID, undo=())))


def test_a_cascade_without_a_head_names_the_nearest():
    with pytest.raises(PetlirError, match="did you mean 'denoise_30'"):
        Cascade().heads(tiny(), replace(HYBRID, undo=("denoise_50", "sr_x2")))


def test_a_cascade_takes_the_tabled_head():
    class Tabled(IPT):
        task_heads = {"denoise_50": "denoise_30"}  # noqa: RUF012

    network = tiny()
    network.__class__ = Tabled
    assert Cascade().heads(network, replace(HYBRID, undo=("denoise_50", "sr_x2"))) == ("denoise_30", "sr_x2")
