"""Test blur against closed forms: the Gaussian formula, the moments of a line, and linear ramps that must not move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from petlir.benchmark.degradations.blur import GaussianBlur, MotionBlur, RandomMotionBlur, Resized, line
from petlir.benchmark.errors import PetlirError

NOTHING = (GaussianBlur(0), MotionBlur(0, 30), Resized(1))


def grey(plane: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(plane, np.uint8)[..., None], 3, -1)


@pytest.mark.parametrize("blur", NOTHING, ids=str)
def test_no_blur_leaves_the_image(blur):
    image = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    assert (blur.degrade(image, 0) == image).all()


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.5])
def test_a_gaussian_blur_is_a_convolution_with_a_gaussian(sigma):
    plane = np.random.default_rng(1).integers(0, 256, (48, 64))
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / sigma) ** 2)
    rows = [np.convolve(row, kernel / kernel.sum(), mode="same") for row in plane]
    expected = np.transpose([np.convolve(row, kernel / kernel.sum(), mode="same") for row in np.transpose(rows)])
    difference = GaussianBlur(sigma).degrade(grey(plane), 0)[..., 0] - expected
    assert np.abs(difference[12:-12, 12:-12]).max() <= 0.55  # rounding to 8 bit is a half of it


@settings(deadline=None, max_examples=40)
@given(st.floats(0.1, 20), st.floats(-180, 180))
def test_a_line_has_the_moments_of_a_line(length, angle):
    """A uniform line of length L has variance L²/12; interpolation between pixels adds at most 1/4 along each axis."""
    kernel = line(length, angle)
    reach = kernel.shape[0] // 2
    y, x = np.mgrid[reach : -reach - 1 : -1, -reach : reach + 1].astype(float)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    spread = length**2 / 12
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1)
    assert (kernel * x).sum() == pytest.approx(0, abs=1e-9)
    assert (kernel * y).sum() == pytest.approx(0, abs=1e-9)
    assert (kernel * x * y).sum() == pytest.approx(spread * cos * sin, rel=0.02, abs=1e-9)
    assert 0.98 * spread * cos**2 - 1e-9 <= (kernel * x * x).sum() <= spread * cos**2 + 0.25
    assert 0.98 * spread * sin**2 - 1e-9 <= (kernel * y * y).sum() <= spread * sin**2 + 0.25


@pytest.mark.parametrize(("angle", "axis"), [(0, 0), (90, 1), (180, 0)])
def test_stripes_along_the_motion_stay_and_those_across_fade(angle, axis):
    stripes = 128 + 100 * (np.indices((40, 40))[axis] % 4 < 2)
    along, across = grey(stripes), grey(stripes.T)
    blur = MotionBlur(8, angle)
    assert (blur.degrade(along, 0) == along).all()
    assert np.ptp(blur.degrade(across, 0)[10:-10, 10:-10]) < 0.2 * np.ptp(across)


@pytest.mark.parametrize(("length", "angle"), [(3, 0), (9, 40), (21, 135), (12.5, 90)])
def test_a_motion_blur_is_a_convolution_with_its_line(length, angle):
    """Edges are mirrored so that the pixel at the edge appears twice."""
    plane, kernel = np.random.default_rng(2).integers(0, 256, (40, 53)), line(length, angle)
    expected = ndimage.convolve(plane.astype(float), kernel, mode="reflect")
    assert kernel.sum() == pytest.approx(1)
    assert np.abs(MotionBlur(length, angle).degrade(grey(plane), 0)[..., 0] - expected).max() <= 0.5 + 1e-6


def test_a_random_motion_blur_keeps_light_and_is_a_function_of_the_seed():
    image = np.random.default_rng(3).integers(0, 256, (40, 53, 3), np.uint8)
    blur, flat = RandomMotionBlur(9), np.full((20, 20, 3), 77, np.uint8)
    assert (blur.degrade(flat, 5) == flat).all()
    assert (blur.degrade(image, 5) == blur.degrade(image, 5)).all()
    assert (blur.degrade(image, 5) != blur.degrade(image, 6)).any()
    assert blur.degrade(image, 5).mean() == pytest.approx(image.mean(), rel=0.02)
    fixed, (length, angle) = RandomMotionBlur(7, 7), (7, np.random.default_rng(4).uniform(size=2)[1] * 180)
    assert (fixed.degrade(image, 4) == MotionBlur(length, angle).degrade(image, 0)).all()


@settings(deadline=None, max_examples=30)
@given(st.floats(1, 4), st.integers(33, 60), st.integers(33, 60))
def test_resizing_keeps_a_straight_ramp_in_its_place(ratio, height, width):
    """Keys' kernel reproduces linear ramps, so a shift of a tenth of a pixel would show."""
    y, x = np.indices((height, width))
    plane = 20.0 + 1.5 * y + 2 * x
    found = Resized(ratio).degrade(grey(np.round(plane)), 0)[..., 0]
    inner = slice(10, -10)
    assert found.shape == plane.shape
    error = (found - plane)[inner, inner]
    assert np.abs(error).max() <= 1.5
    assert abs(error.mean()) <= 0.25


def test_resizing_takes_away_what_the_small_image_cannot_hold():
    stripes = grey(np.broadcast_to(100 + 100 * (np.arange(48) % 2), (48, 48)))
    assert np.ptp(Resized(3).degrade(stripes, 0)[8:-8, 8:-8]) < 0.1 * np.ptp(stripes)


@pytest.mark.parametrize(
    ("make", "line_of"),
    [
        (lambda: GaussianBlur(-1), "sigma of a Gaussian blur must be 0 or more, not -1"),
        (lambda: MotionBlur(-2, 0), "length of a motion blur must be 0 or more, not -2"),
        (lambda: RandomMotionBlur(2), "motion blur: shortest is 3.0, expected 0 to the longest length, 2 pixels"),
        (lambda: Resized(0.5), "the resizing ratio must be 1 or more, not 0.5"),
    ],
)
def test_what_is_no_blur_is_refused(make, line_of):
    with pytest.raises(PetlirError, match=line_of):
        make()
