"""Test resizing against MATLAB's own output, another library's kernel and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.degradations.resize import Bicubic, enlarge, imresize
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import read_image

SCALES = (1 / 4, 1 / 3, 1 / 2, 2, 3, 4)


def test_equals_matlab(shared):
    for path in sorted((shared / "datasets/Set5/HR").iterdir()):
        expected = read_image(shared / "datasets/Set5/LR_x4" / path.name).astype(int)
        found = Bicubic(4).degrade(read_image(path), seed=0)
        assert np.abs(found - expected).max() <= 1, path.name


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_inside_equals_torch_antialiased(factor):
    image = np.random.default_rng(0).integers(0, 256, (96, 72, 3), np.uint8)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    size = (96 // factor, 72 // factor)
    resized = torch.nn.functional.interpolate(batch, size, mode="bicubic", antialias=True)
    expected = resized[0].permute(1, 2, 0).clamp(0, 255).numpy()
    difference = imresize(image, 1 / factor) - expected
    assert np.abs(difference[3:-3, 3:-3]).max() <= 0.5 + 1e-6


@given(st.integers(0, 255), st.sampled_from(SCALES), st.integers(4, 30), st.integers(4, 30))
def test_flat_stays_flat(grey, scale, height, width):
    resized = imresize(np.full((height, width, 3), grey, np.uint8), scale)
    assert resized.shape == (np.ceil(round(height * scale, 6)), np.ceil(round(width * scale, 6)), 3)
    assert (resized == grey).all()


@given(st.integers(0, 2**32), st.sampled_from(SCALES))
def test_commutes_with_transposition(seed, scale):
    image = np.random.default_rng(seed).integers(0, 256, (24, 12, 3), np.uint8)
    expected = imresize(image, scale).transpose(1, 0, 2).astype(int)
    assert np.abs(imresize(image.transpose(1, 0, 2), scale) - expected).max() <= 1


def test_a_ramp_is_enlarged_to_a_ramp():
    ramp = np.broadcast_to(np.arange(0, 200, 4, dtype=np.uint8)[:, None, None], (50, 8, 3))
    larger = enlarge(ramp, 4)[:, 0, 0].astype(int)
    places = (np.arange(200) + 0.5) / 4 - 0.5
    assert np.abs(larger - places * 4)[8:-8].max() <= 0.5


def test_refuses_a_scale_below_one():
    with pytest.raises(PetlirError, match="positive integer, not 0"):
        Bicubic(0)
