"""Test noise, JPEG, rain, low light and camera noise against closed forms, golden values and the real test sets."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from petlir.benchmark.degradation import Chain, Image, rounded, truncated
from petlir.benchmark.degradations.camera import CameraNoise
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.degradations.low_light import LowLight
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import read_image

SEEDED = (GaussianNoise(30), RainStreaks("light"), RainStreaks("heavy"), LowLight(), CameraNoise())
LUMA = np.array([65.481, 128.553, 24.966]) / 255


def photograph() -> Image:
    from skimage import data

    image: Image = data.astronaut()[100:164, 150:214]
    return image


@settings(deadline=None, max_examples=15)
@given(st.sampled_from([*SEEDED, Jpeg(30)]), st.integers(0, 2**50))
def test_a_seed_decides_all(degradation, seed):
    image = photograph()
    once, again = degradation.degrade(image, seed), degradation.degrade(image, seed)
    assert once.shape == image.shape
    assert once.dtype == np.uint8
    assert (once == again).all()


@pytest.mark.parametrize("degradation", SEEDED, ids=str)
def test_another_seed_is_another_draw(degradation):
    assert (degradation.degrade(photograph(), 1) != degradation.degrade(photograph(), 2)).any()


@pytest.mark.parametrize("sigma", [30, 50])
def test_gaussian_noise_has_its_moments(sigma):
    batch = torch.full((4, 3, 128, 128), 0.5)
    noise = (GaussianNoise(sigma).perturb(batch, torch.Generator().manual_seed(0)) - batch) * 255
    assert abs(noise.mean()) < 4 * sigma / noise.numel() ** 0.5
    assert noise.std() == pytest.approx(sigma, rel=0.01)
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < 0.01


def test_jpeg_equals_libjpeg_of_opencv(shared):
    golden = np.load(shared / "goldens/degradations.npz")
    difference = Jpeg(30).degrade(golden["img_rgb_u8"], 0).astype(int) - golden["jpeg30_correct_rgb"]
    assert np.abs(difference).max() <= 1


def test_jpeg_with_swapped_channels_is_the_official_codes(shared):
    golden = np.load(shared / "goldens/degradations.npz")
    difference = Jpeg(30, swapped=True).degrade(golden["img_rgb_u8"], 0).astype(int)
    assert np.abs(difference - golden["jpeg30_official_rgb_as_bgr"]).max() <= 1
    assert np.abs(difference - golden["jpeg30_correct_rgb"]).mean() > 5


def test_jpeg_of_crops_has_its_grid_at_the_crop():
    image = photograph()
    crops = np.stack([image[:48, :48], image[3:51, 5:53]])
    batch = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255
    found = Jpeg(30, on="crops").perturb_crops(batch, torch.Generator())
    for crop, pixels in zip(crops, found, strict=True):
        assert (Jpeg(30).degrade(crop, 0) == (pixels.permute(1, 2, 0) * 255).round().numpy()).all()
    assert (Jpeg(30, on="crops").degrade(image, 0) == Jpeg(30).degrade(image, 0)).all()


def test_noise_is_kept_as_the_golden_keeps_it(shared):
    golden = np.load(shared / "goldens/degradations.npz")
    noisy = torch.from_numpy(golden["noise30_float"])
    assert (truncated(noisy).numpy() == golden["noise30_trunc_u8"]).all()
    bias = golden["noise30_trunc_u8"].astype(float) - rounded(noisy.float().numpy())
    assert bias.mean() == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("step", [GaussianNoise, lambda *how: Chain((Bicubic(2), GaussianNoise(*how)))])
def test_the_same_noise_is_rounded_truncated_or_left(step):
    image = photograph()
    exact = step(50, "float").degrade(image, 7)
    assert exact.dtype == np.float32
    assert exact.min() < -20
    assert exact.max() > 275
    assert (step(50).degrade(image, 7) == np.rint(exact.clip(0, 255))).all()
    assert (step(50, "truncated").degrade(image, 7) == np.floor(exact.clip(0, 255))).all()


def test_training_crops_are_kept_as_test_images_unless_said():
    batch = torch.rand(2, 3, 16, 16)

    def crops(*how: str) -> torch.Tensor:
        return GaussianNoise(50, *how).perturb_crops(batch, torch.Generator().manual_seed(0))

    assert torch.equal(crops(), crops("float").clamp(0, 1))
    assert torch.equal(crops("truncated") * 255, (crops("float") * 255).clamp(0, 255).floor())
    assert torch.equal(crops("float", "truncated"), crops("truncated"))


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: GaussianNoise(30, "round"), "unknown storage format of noisy images 'round'; did you mean"),
        (lambda: Jpeg(30, on="patches"), "JPEG compression applies to 'images' or 'crops', not 'patches'"),
        (lambda: Chain((Jpeg(30, on="crops"), Bicubic(2))), "must apply its whole-image steps before it adds noise"),
    ],
)
def test_what_is_no_variant_is_named(make, line):
    with pytest.raises(PetlirError, match=re.escape(line)):
        make()


@pytest.mark.parametrize("quality", [0, 101])
def test_jpeg_refuses_a_quality_that_is_none(quality):
    with pytest.raises(PetlirError, match=r"between 1 and 100"):
        Jpeg(quality)


@pytest.mark.parametrize(("strength", "name", "margin"), [("light", "Rain100L", 1), ("heavy", "Rain100H", 1)])
def test_rain_is_as_strong_as_the_test_set(shared, strength, name, margin):
    rates: dict[str, list[float]] = {"real": [], "ours": []}
    for path in sorted((shared / "datasets/Rain100L/norain").iterdir())[::3]:
        clean = read_image(path)
        real = read_image(shared / f"datasets/{name}/rain/{path.name.removeprefix('no')}")
        ours = RainStreaks(strength).degrade(clean, int(path.stem[-3:]))
        for key, rainy in (("real", real), ("ours", ours)):
            rates[key].append(peak_signal_noise_ratio(clean @ LUMA, rainy @ LUMA, data_range=255))
    assert np.mean(rates["ours"]) == pytest.approx(np.mean(rates["real"]), abs=margin)


@pytest.mark.parametrize("strength", ["light", "heavy"])
def test_rain_is_grey_and_only_brightens(strength):
    image = np.full((96, 96, 3), (10, 30, 60), np.uint8)
    added = RainStreaks(strength).degrade(image, 3).astype(int) - image
    unclipped = added.max(-1) < 195
    assert added.min() >= 0
    assert added.max() > 20
    assert (np.ptp(added[unclipped], axis=-1) <= 1).all()


def test_unknown_rain_names_its_neighbour():
    with pytest.raises(PetlirError, match="did you mean 'heavy'"):
        RainStreaks("heavi")


def test_low_light_is_as_dark_as_lol(shared):
    paths = sorted((shared / "datasets/BSDS333").iterdir())[::20]
    means = [LowLight().degrade(read_image(path), number).mean() / 255 for number, path in enumerate(paths)]
    assert 0.03 < np.mean(means) < 0.15
    assert min(means) > 0.01


def test_camera_noise_grows_with_the_signal_and_is_correlated():
    grey, spread = (20, 90), []
    for level in grey:
        noise = CameraNoise((4e-3, 4e-3)).degrade(np.full((128, 128, 3), level, np.uint8), 5).astype(float) - level
        slope = 12.92 if level < 10 else 2.4 * ((level / 255 + 0.055) / 1.055) ** 1.4 / 1.055
        spread.append(noise.std() * slope)
        assert np.corrcoef(noise[:, 1:, 0].ravel(), noise[:, :-1, 0].ravel())[0, 1] > 0.3
    assert spread[1] > 1.2 * spread[0]


def test_camera_noise_without_photons_leaves_the_image():
    image = photograph()
    assert np.abs(CameraNoise((1e-9, 1e-9)).degrade(image, 0).astype(int) - image).max() <= 1


def test_camera_noise_has_the_variance_of_its_model():
    """The variance at a mosaic site is shot·signal + read.

    Interpolated green averages four sites, so its variance is a quarter of this.
    """
    level, shot = 128, 2e-4
    image = np.full((256, 256, 3), level, np.uint8)
    noise = CameraNoise((shot, shot)).degrade(image, 1)[..., 1].astype(float) - level
    signal = ((level / 255 + 0.055) / 1.055) ** 2.4
    slope = 2.4 * ((level / 255 + 0.055) / 1.055) ** 1.4 / 1.055
    at_sites = np.concatenate([noise[::2, 1::2].ravel(), noise[1::2, ::2].ravel()])
    between = np.concatenate([noise[::2, ::2].ravel(), noise[1::2, 1::2].ravel()])
    read = np.exp(2.18 * np.log(shot) + 1.2)
    expected = (shot * signal + read) * (255 / slope) ** 2
    assert at_sites.var() - 1 / 12 == pytest.approx(expected, rel=0.1)
    assert between.var() - 1 / 12 == pytest.approx(expected / 4, rel=0.1)
