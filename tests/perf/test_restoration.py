"""Measure the cost of tilings, against each other and against the official tilings."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from petlir.benchmark.backbones import build
from petlir.benchmark.restoration.restore import restore
from tests.perf.conftest import Ratio
from tests.perf.test_convolutional import ratio


def test_default_windows_against_the_official_ones(benchmark, tell):
    """A 128×128 image takes 16 windows, compared with 78 in the official tiling."""
    network, images = build("ipt-nano").eval(), torch.rand(1, 3, 128, 128)
    ours = partial(restore, network, images, "denoise_30")
    found = benchmark.pedantic(lambda: ratio(ours, partial(ours, "official"), 3), rounds=1)
    tell(Ratio("ipt-nano: 128² in 16 windows", "official tiling, 78 windows", found, 0.3, 16 / 78))


def test_edt_without_a_superfluous_window(benchmark, tell):
    """A 48×48 image stays 48×48; the official code enlarges it to 72×72, with 2.25 times as many pixels."""
    network, images = build("edt-b").eval(), torch.rand(1, 3, 48, 48)
    ours = partial(restore, network, images)
    found = benchmark.pedantic(lambda: ratio(ours, partial(ours, tiling="official"), 5), rounds=1)
    tell(Ratio("edt-b: 48² as it is", "official code, enlarged to 72²", found, 0.5, 48**2 / 72**2))


@pytest.mark.parametrize(("name", "head"), [("nafnet-nano", "restore"), ("restormer-nano", "restore")])
def test_tiles_cost_what_their_overlap_does(benchmark, tell, name, head):
    """At 256×256, 9 tiles of 128×128 have 2.25 times as many pixels as the image."""
    network, images = build(name).eval(), torch.rand(1, 3, 256, 256)
    ours = partial(restore, network, images, head)
    found = benchmark.pedantic(lambda: ratio(partial(ours, tile=128), partial(ours, "whole"), 3), rounds=1)
    tell(Ratio(f"{name}: 256² in tiles of 128²", "the whole image", found, 1.2 * 2.25, 2.25))


def test_measuring_memory(benchmark, tell):
    """Memory is measured from this image size on, and this network is the fastest, so the overhead is largest here."""
    network, images = build("nafnet-nano").eval(), torch.rand(1, 3, 256, 272)
    ours = partial(restore, network, images, "restore")
    found = benchmark.pedantic(lambda: ratio(ours, partial(ours, "whole"), 5), rounds=1)
    tell(Ratio("nafnet-nano: restoring with its memory measured", "without", found))
