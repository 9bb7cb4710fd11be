"""Test dead-leaves images: deterministic, fully covered, and with the statistics of photographs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kurtosis

from petlir.benchmark.images.procedural import leaves


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**40), st.sampled_from([12, 33, 48]))
def test_seed_and_size_decide_all(seed, size):
    image = leaves(seed, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert (image == leaves(seed, size)).all()
    assert (image != leaves(seed + 1, size)).any()


@pytest.fixture(scope="module")
def images():
    return [leaves(seed, 128).mean(-1) for seed in range(12)]


def test_differences_of_neighbours_are_heavy_tailed(images):
    """The kurtosis of natural images' derivatives is far above a Gaussian's 3 (Lee, Mumford & Huang 2001)."""
    assert np.median([kurtosis(np.diff(image).ravel(), fisher=False) for image in images]) > 8


def test_power_falls_like_that_of_natural_images(images):
    """Amplitudes fall about as 1/f (Field 1987): the slope of log power over log frequency lies between -3 and -1.2."""
    power = np.mean([np.abs(np.fft.fft2(image - image.mean())) ** 2 for image in images], 0)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
    used = (frequency > 0.02) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)[0]
    assert -3 < slope < -1.2
