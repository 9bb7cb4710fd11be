"""Test that correct methods of many kinds pass every point, on tokens and on maps."""

from __future__ import annotations

import pytest

from petlir.benchmark.contract import check
from petlir.benchmark.contract.toy_model import tiny
from tests.contract.sound_methods import SOUND
from tests.helpers.networks import ConvNet


@pytest.mark.parametrize("build", [tiny, ConvNet], ids=["tokens", "maps"])
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_method_passes(name, build):
    assert {finding.name: finding.detail for finding in check(SOUND[name](), build) if not finding.passed} == {}
