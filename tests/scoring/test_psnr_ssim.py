"""Test PSNR and SSIM against official values, scikit-image, pyiqa and properties that hold for any image."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring.evaluate import to_image
from petlir.benchmark.scoring.psnr_ssim import psnr, recorded, scores, ssim

SIZES = st.tuples(st.integers(11, 40), st.integers(11, 40), st.just(3))
PAIRS = SIZES.flatmap(lambda size: st.tuples(arrays(np.uint8, size), arrays(np.uint8, size)))
Plane = NDArray[np.float64]
SEEDED = st.integers(0, 2**32 - 1)


def noisy_pair(seed: int, size: tuple[int, int, int] = (37, 45, 3)) -> tuple[Image, Image]:
    """Return a noisy, darkened version of a textured image, and the image."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, size, dtype=np.uint8)
    restored = (0.8 * clean + rng.normal(0, 30, size)).clip(0, 255).astype(np.uint8)
    return restored, clean


def luma(image: Image) -> Plane:
    """Return the ITU-R BT.601 luma as printed in MATLAB's documentation of `rgb2ycbcr`."""
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
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-4)):
        found = [values.item() for values in scores(*batches, named, dtype)]
        assert found == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(("name", "key"), [("y-ipt", "huawei_scale1"), ("y-ipt-crop4", "huawei_scale4")])
def test_official_values_of_ipt(shared, name, key):
    (expected,) = json.loads((shared / "goldens/metrics.json").read_text())[key]
    inputs = np.load(shared / "goldens/metrics_inputs.npz")
    restored, clean = (to_image(torch.tensor(inputs[side])) for side in ("rec", "gt"))
    assert psnr(restored, clean, protocol(name)) == pytest.approx(expected, abs=1e-6)


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


@settings(deadline=None, max_examples=10)
@given(SEEDED, st.integers(11, 40), st.integers(11, 40), st.sampled_from(["y", "y-full", "rgb"]), st.integers(0, 4))
def test_equals_pyiqa(seed, height, width, channel, border):
    pyiqa = pytest.importorskip("pyiqa", exc_type=ImportError)
    pair = noisy_pair(seed, (height + 2 * border, width + 2 * border, 3))
    named = protocol(f"{channel}-crop{border}" if border else channel)
    batches = [torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in pair]
    options: dict[str, Any] = {"test_y_channel": channel != "rgb", "crop_border": border}
    options |= {"color_space": "ycbcr"} if channel == "y" else {}
    # below 32 dB, since pyiqa adds an epsilon to the squared error
    assert psnr(*pair, named) < 32
    theirs = pyiqa.create_metric("psnr", device="cpu", **options)(*batches).item()
    assert psnr(*pair, named) == pytest.approx(theirs, abs=1e-4)
    # pyiqa rounds the luma of its SSIM, though not that of its PSNR, to whole grey levels
    theirs = pyiqa.create_metric("ssim", device="cpu", **options)(*batches).item()
    ours = ssim(*pair, named if channel != "y" else replace(named, channel="y-uint8"))
    assert ours == pytest.approx(theirs, abs=1e-4 if channel != "y-full" else 1e-3)


@settings(deadline=None, max_examples=20)
@given(SEEDED)
def test_rounded_luma_is_that_of_scikit_image_rounded(seed):
    pair = noisy_pair(seed)
    restored, clean = (rgb2ycbcr(image)[..., 0].round() for image in pair)
    expected = peak_signal_noise_ratio(clean, restored, data_range=255)
    # a luma that lies between two grey levels may be rounded to either: a pixel in 85,000
    assert psnr(*pair, protocol("y-uint8")) == pytest.approx(expected, abs=1e-3)
    assert ssim(*pair, protocol("y-uint8")) == pytest.approx(skimage_ssim(restored, clean), abs=1e-4)


def scipy_ssim3d(restored: Plane, clean: Plane) -> float:
    """Compute 3D SSIM by its definition, with scipy's Gaussian filter over rows, columns and channels."""
    blur = partial(gaussian_filter, sigma=1.5, radius=5, mode="nearest")
    mean, other = blur(restored), blur(clean)
    variance, other_variance = blur(restored**2) - mean**2, blur(clean**2) - other**2
    covariance = blur(restored * clean) - mean * other
    one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean * other + one) * (2 * covariance + two)
    return float((similarity / ((mean**2 + other**2 + one) * (variance + other_variance + two))).mean())


@settings(deadline=None, max_examples=20)
@given(SEEDED, st.integers(1, 30), st.integers(1, 30))
def test_ssim_over_channels_is_the_definition(seed, height, width):
    pair = noisy_pair(seed, (height, width, 3))
    expected = scipy_ssim3d(*(image.astype(np.float64) for image in pair))
    assert ssim(*pair, protocol("rgb-ssim3d")) == pytest.approx(expected, abs=1e-9)
    assert ssim(*pair, protocol("rgb-ssim3d"), torch.float32) == pytest.approx(expected, abs=1e-4)
    expected = scipy_ssim3d(*(luma(image)[..., None] for image in pair))
    assert ssim(*pair, protocol("y-ssim3d")) == pytest.approx(expected, abs=1e-9)


def test_ssim_over_channels_is_the_higher():
    """NAFNet's tables print 0.961 on SIDD; the mean of SSIM over channels is 0.925."""
    pair = noisy_pair(3)
    assert ssim(*pair, protocol("rgb-ssim3d")) > ssim(*pair, protocol("rgb"))


@settings(deadline=None, max_examples=20)
@given(SEEDED)
def test_the_mean_of_the_clean_image_is_taken_over_its_grey(seed):
    restored, clean = noisy_pair(seed)
    weights = np.array([0.299, 0.587, 0.114])
    factor = (clean @ weights).mean() / (restored @ weights).mean()
    scaled = (restored * factor).clip(0, 255)
    expected = peak_signal_noise_ratio(clean, scaled.round().astype(np.uint8), data_range=255)
    assert psnr(restored, clean, protocol("rgb-gtmean")) == pytest.approx(expected, abs=1e-9)
    expected = peak_signal_noise_ratio(clean.astype(np.float64), scaled, data_range=255)
    assert psnr(restored, clean, protocol("rgb-gtmean-float")) == pytest.approx(expected, abs=1e-9)


def test_an_image_that_is_only_darker_is_perfect_under_gtmean():
    clean = 2 * np.random.default_rng(0).integers(0, 128, (16, 16, 3), dtype=np.uint8)
    assert psnr(clean // 2, clean, protocol("rgb-gtmean")) == math.inf
    assert psnr(clean // 2, clean, protocol("rgb")) < 15
    black = np.zeros_like(clean)
    assert psnr(black, clean, protocol("rgb-gtmean")) == psnr(black, clean, protocol("rgb"))
    assert psnr(black, black, protocol("rgb-gtmean")) == math.inf


@settings(deadline=None, max_examples=20)
@given(SEEDED, st.sampled_from(["rgb", "y-crop4", "y-uint8", "rgb-ssim3d", "rgb-gtmean"]))
def test_a_batch_is_its_images(seed, name):
    pairs, named = [noisy_pair(seed + n) for n in range(3)], protocol(name)
    restored, clean = (torch.tensor(np.stack(side)).permute(0, 3, 1, 2) / 255 for side in zip(*pairs, strict=True))
    found = torch.stack(scores(restored, clean, named, torch.float64), 1).tolist()
    assert found == [pytest.approx([psnr(*pair, named), ssim(*pair, named)], abs=1e-9) for pair in pairs]


def test_a_batch_is_rounded_unless_the_protocol_says_otherwise():
    clean = torch.full((2, 3, 16, 16), 100 / 255, dtype=torch.float64)
    restored = clean + torch.tensor([0.25, 0.75], dtype=torch.float64).view(2, 1, 1, 1) / 255
    closed = [20 * math.log10(255 / error) for error in (0.25, 0.75, 1)]
    assert scores(restored, clean, protocol("rgb"), torch.float64)[0].tolist() == [math.inf, pytest.approx(closed[2])]
    assert scores(restored, clean, protocol("rgb-float"), torch.float64)[0].tolist() == pytest.approx(closed[:2])
    assert scores(clean + 2, clean * 0 + 1, protocol("rgb-float"))[0].tolist() == [math.inf] * 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["rgb", "y-crop4", "rgb-ssim3d", "rgb-gtmean"])
def test_a_batch_stays_on_its_device(name):
    random = torch.Generator("cuda").manual_seed(0)
    restored, clean = (torch.rand(4, 3, 64, 80, generator=random, device="cuda") for _ in range(2))
    torch.cuda.synchronize()
    with torch.cuda.device(restored.device):
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = scores(restored, clean, protocol(name))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    expected = scores(restored.cpu(), clean.cpu(), protocol(name))
    torch.testing.assert_close([each.cpu() for each in found], list(expected), atol=1e-4, rtol=0)


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
        (ssim, [(18, 30), (18, 30)], "y-crop4", "needs 11×11 pixels inside the border; 22×10 are left"),
        (psnr, [(8, 30), (8, 30)], "y-crop4", "30×8 pixels are too small for the border of y-crop4"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(metric, sizes, name, message):
    with pytest.raises(PetlirError, match=re.escape(message)) as caught:
        metric(*(np.zeros((*size, 3), np.uint8) for size in sizes), protocol(name))
    assert "\n" not in str(caught.value)
