"""Test that enlargement in bands of rows equals enlargement of the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from petlir.benchmark.degradations import enlarging
from petlir.benchmark.degradations.resize import enlarge


@pytest.mark.parametrize("band", [1, 500, 2**20])
def test_bands_give_the_same_bits(monkeypatch, band):
    monkeypatch.setattr(enlarging, "BAND", band)
    for height, width, scale in ((1, 1, 2), (5, 7, 3), (13, 9, 4), (30, 41, 2), (8, 3, 7)):
        image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        assert np.array_equal(enlarging.enlarge_in_bands(image, scale), enlarge(image, scale))


def test_sixteen_bits_are_enlarged_like_eight():
    image = np.random.default_rng(0).integers(40, 200, (9, 8, 3), np.uint8)
    deep = enlarging.enlarge_in_bands(image.astype(np.uint16) * 257, 3)
    assert deep.dtype == np.uint16
    inner = np.abs(deep / 257 - enlarging.enlarge_in_bands(image, 3))
    assert inner.max() <= 0.5 + 1 / 257
