"""PSNR and SSIM against official values, scikit-image, pyiqa and what must hold for any image."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmark.degradation import Image
from benchmark.errors import PetlirError
from benchmark.evaluation import to_image
from benchmark.metrics import psnr, recorded, ssim
from benchmark.protocol import protocol

SIZES = st.tuples(st.integers(11, 40), st.integers(11, 40), st.just(3))
PAIRS = SIZES.flatmap(lambda size: st.tuples(arrays(np.uint8, size), arrays(np.uint8, size)))
Plane = NDArray[np.float64]
SEEDED = st.integers(0, 2**32 - 1)


def noisy_pair(seed: int, size: tuple[int, int, int] = (37, 45, 3)) -> tuple[Image, Image]:
    """A textured image and a version of it that is noisy and darker."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, size, dtype=np.uint8)
    restored = (0.8 * clean + rng.normal(0, 30, size)).clip(0, 255).astype(np.uint8)
    return restored, clean


def luma(image: Image) -> Plane:
    """ITU-R BT.601 luma as printed in MATLAB's documentation of `rgb2ycbcr`."""
    red, green, blue = np.moveaxis(image.astype(np.float64) / 255, -1, 0)
    plane: Plane = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
    return plane


def skimage_ssim(restored: NDArray[Any], clean: NDArray[Any], channel_axis: int | None = None) -> float:
    # floats, since from 8-bit input scikit-image multiplies in 8 bit
    planes = (image.astype(np.float64) for image in (restored, clean))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return float(structural_similarity(*planes, channel_axis=channel_axis, **options))


@pytest.mark.parametrize("channel", ["y", "rgb"])
@pytest.mark.parametrize("border", [0, 2, 3, 4])
def test_official_values(shared, channel, border):
    expected = json.loads((shared / "goldens/metrics.json").read_text())[f"y{int(channel == 'y')}_bd{border}"]
    inputs = np.load(shared / "goldens/metrics_inputs.npz")
    batches = torch.tensor(inputs["rec"]), torch.tensor(inputs["gt"])
    restored, clean = map(to_image, batches)
    named = protocol(f"{channel}-crop{border}" if border else channel)
    assert [psnr(restored, clean, named), ssim(restored, clean, named)] == pytest.approx(expected, abs=1e-9)
    assert ssim(restored, clean, named, torch.float32) == pytest.approx(expected[1], abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(PAIRS)
def test_equals_scikit_image_on_rgb(pair):
    restored, clean = pair
    if not np.array_equal(restored, clean):
        expected = peak_signal_noise_ratio(clean, restored, data_range=255)
        assert psnr(restored, clean, protocol("rgb")) == pytest.approx(expected, abs=1e-9)
    expected = skimage_ssim(restored, clean, channel_axis=2)
    assert ssim(restored, clean, protocol("rgb")) == pytest.approx(expected, abs=1e-6)
    assert ssim(restored, clean, protocol("rgb"), torch.float32) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(SEEDED, st.integers(1, 6))
def test_equals_scikit_image_on_cropped_luma(seed, border):
    pair = noisy_pair(seed)
    inside = (slice(border, -border), slice(border, -border))
    restored, clean = (luma(image)[inside] for image in pair)
    named = protocol(f"y-crop{border}")
    assert psnr(*pair, named) == pytest.approx(peak_signal_noise_ratio(clean, restored, data_range=255), abs=1e-9)
    assert ssim(*pair, named) == pytest.approx(skimage_ssim(restored, clean), abs=1e-6)
    assert ssim(*pair, named, torch.float32) == pytest.approx(skimage_ssim(restored, clean), abs=1e-4)


def test_equals_pyiqa_on_luma():
    pyiqa = pytest.importorskip("pyiqa", exc_type=ImportError)
    pair = noisy_pair(0, (64, 80, 3))
    batches = [torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in pair]
    options = {"test_y_channel": True, "color_space": "ycbcr", "crop_border": 4}
    # below 32 dB, since pyiqa adds an epsilon to the squared error
    assert psnr(*pair, protocol("y-crop4")) < 32
    for name, ours in (("psnr", psnr), ("ssim", ssim)):
        theirs = pyiqa.create_metric(name, device="cpu", **options)(*batches).item()
        assert ours(*pair, protocol("y-crop4")) == pytest.approx(theirs, abs=1e-4)


@settings(deadline=None, max_examples=20)
@given(PAIRS, st.sampled_from(["y", "rgb"]))
def test_both_are_symmetric_and_bounded(pair, name):
    (one, other), named = pair, protocol(name)
    assert psnr(one, other, named) == psnr(other, one, named) >= 0
    assert ssim(one, other, named) == pytest.approx(ssim(other, one, named), abs=1e-12)
    assert abs(ssim(one, other, named)) <= 1 + 1e-12


@settings(deadline=None, max_examples=20)
@given(SIZES.flatmap(lambda size: arrays(np.uint8, size)), st.sampled_from(["y", "rgb"]))
def test_an_image_equals_itself(image, name):
    assert psnr(image, image, protocol(name)) == math.inf
    assert ssim(image, image, protocol(name)) == pytest.approx(1, abs=1e-12)
    assert recorded(math.inf) == "inf"
    assert recorded(31.5) == 31.5


@given(st.integers(1, 200))
def test_a_constant_error_has_the_psnr_of_the_closed_form(error):
    clean = np.full((12, 13, 3), 20, np.uint8)
    restored = clean + np.uint8(error)
    assert psnr(restored, clean, protocol("rgb")) == pytest.approx(20 * math.log10(255 / error))
    # luma spans 219 grey levels of 255
    assert psnr(restored, clean, protocol("y")) == pytest.approx(20 * math.log10(255 / (error * 219 / 255)))


def test_the_border_is_not_looked_at():
    restored, clean = noisy_pair(1)
    framed = np.full_like(restored, 7)
    framed[4:-4, 4:-4] = restored[4:-4, 4:-4]
    for metric in (psnr, ssim):
        assert metric(framed, clean, protocol("rgb-crop4")) == metric(restored, clean, protocol("rgb-crop4"))


@pytest.mark.parametrize(
    ("metric", "sizes", "name", "message"),
    [
        (psnr, [(12, 14), (12, 15)], "y", "14×12 and 15×12 pixels cannot be compared"),
        (ssim, [(18, 30), (18, 30)], "y-crop4", "needs 11 pixels a side inside the border, 22×10 are left"),
        (psnr, [(8, 30), (8, 30)], "y-crop4", "30×8 pixels have none left under y-crop4"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(metric, sizes, name, message):
    with pytest.raises(PetlirError, match=re.escape(message)) as caught:
        metric(*(np.zeros((*size, 3), np.uint8) for size in sizes), protocol(name))
    assert "\n" not in str(caught.value)
