"""Test that scores in bands of rows equal those of the whole image, and that 16-bit images have their own peak."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring import bands
from petlir.benchmark.scoring.bands import check_size, score_pair
from petlir.benchmark.scoring.psnr_ssim import psnr, ssim

RNG = np.random.default_rng(0)
RULES = ["rgb", "y-crop4", "rgb-ssim3d", "rgb-ssim3d-gtmean", "rgb-gtmean", "y-uint8", "y-crop2-ssim3d"]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("pixels", [1, 400, 900, 1500])
def test_bands_give_the_same_scores(monkeypatch, name, pixels):
    monkeypatch.setattr(bands, "BAND_PIXELS", pixels)
    rule = protocol(name)
    for height, width in ((40, 37), (61, 23), (31, 31), (25, 60)):
        clean = RNG.integers(0, 256, (height, width, 3), np.uint8)
        restored = np.clip(clean + RNG.normal(0, 9, clean.shape), 0, 255).astype(np.uint8)
        expected = psnr(restored, clean, rule), ssim(restored, clean, rule)
        assert score_pair(restored, clean, rule) == pytest.approx(expected, abs=1e-9)
        assert score_pair(clean, clean, rule) == pytest.approx((float("inf"), 1))


def test_sixteen_bits_are_scored_against_their_own_peak():
    clean = RNG.integers(0, 65536, (30, 40, 3), np.uint16)
    restored = np.clip(clean + RNG.normal(0, 300, clean.shape), 0, 65535).astype(np.uint16)
    found = score_pair(restored, clean, protocol("rgb"))
    expected = (
        peak_signal_noise_ratio(clean, restored, data_range=65535),
        structural_similarity(
            clean,
            restored,
            data_range=65535,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        ),
    )
    assert found[0] == pytest.approx(expected[0], abs=1e-9)
    assert found[1] == pytest.approx(expected[1], abs=2e-3)  # over whole windows alone


def test_a_shallower_image_is_scaled_to_the_deeper_one():
    clean = RNG.integers(0, 256, (20, 20, 3), np.uint8)
    deep = clean.astype(np.uint16) * 257
    assert score_pair(clean, deep, protocol("rgb")) == pytest.approx((float("inf"), 1))
    assert score_pair(deep, clean, protocol("y"))[0] == float("inf")


@pytest.mark.parametrize(
    ("size", "name", "fits"),
    [((11, 40), "rgb", True), ((10, 40), "rgb", False), ((19, 40), "y-crop4", True), ((18, 40), "y-crop4", False),
     ((1, 1), "rgb-ssim3d", True), ((8, 8), "rgb-crop4-ssim3d", False)],
)  # fmt: skip
def test_sizes_are_checked_as_scores_would_be(size, name, fits):
    rule = protocol(name)
    image = RNG.integers(0, 256, (*size, 3), np.uint8)
    for call in (lambda: check_size(size[0], size[1], rule), lambda: ssim(image, image, rule)):
        if fits:
            call()
        else:
            with pytest.raises(PetlirError, match=rule.id):
                call()
