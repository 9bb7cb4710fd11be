"""Pairs of a task: degraded whole, seeded by name, and no test image among those that fit or select."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage.metrics import peak_signal_noise_ratio

from benchmark.degradation import Chain, Degradation
from benchmark.degradations.noise import GaussianNoise
from benchmark.degradations.resize import Bicubic, imresize
from benchmark.errors import PetlirError
from benchmark.images import prepare
from benchmark.images.bundled import photographs
from benchmark.task import Data, Task
from tasks.pairs import PAIRS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))


def task(degradation: Degradation | None, *, tests: tuple[str, ...] = ("photographs",), scale: int = 1) -> Task:
    data = {"demo": Data("leaves-validation", "leaves-validation", tests)}
    return Task("toy", "Toy", degradation, ("rgb",), data, scale=scale)


def test_hybrid_test_images_are_the_shrunk_ones_with_noise():
    pairs = prepare.test_pairs(task(Chain((Bicubic(4), GaussianNoise(30))), scale=4), "demo", None)
    assert [pair.name for pair in pairs] == ["astronaut", "chelsea", "coffee", "rocket"]
    for pair in pairs:
        small = imresize(pair.clean, 1 / 4)
        assert pair.degraded.shape == small.shape == (48, 48, 3)
        noise = pair.degraded.astype(float) - small
        inside = (small > 100) & (small < 155)
        assert noise[inside].std() == pytest.approx(30, rel=0.15)
        assert (pair.set, pair.domain) == ("photographs", "photographs")


def test_noise_depends_on_the_name_and_not_on_the_order():
    once, again = (prepare.test_pairs(task(GaussianNoise(30)), "demo", None) for _ in range(2))
    noises = [pair.degraded.astype(int) - pair.clean for pair in once]
    assert all((a.degraded == b.degraded).all() for a, b in zip(once, again, strict=True))
    assert abs(np.corrcoef(noises[0].ravel(), noises[2].ravel())[0, 1]) < 0.05
    assert peak_signal_noise_ratio(once[1].clean, once[1].degraded) == pytest.approx(18.6, abs=0.5)


def test_training_pairs_come_without_the_noise_that_crops_draw():
    noisy = task(GaussianNoise(30))
    assert all((degraded == clean).all() for degraded, clean in prepare.training_pairs(noisy, "demo", None))
    assert prepare.fresh_noise(noisy, "demo") == GaussianNoise(30)
    validation = prepare.validation_pairs(noisy, "demo", None)
    assert len(validation) == 12
    assert all((pair.degraded != pair.clean).any() for pair in validation)


def test_clean_images_are_cropped_to_the_scale():
    pairs = prepare.training_pairs(task(Bicubic(5), scale=5), "demo", None)
    assert {(degraded.shape, clean.shape) for degraded, clean in pairs} == {((16, 16, 3), (80, 80, 3))}


@pytest.mark.parametrize("read", [prepare.training_pairs, prepare.validation_pairs])
def test_a_test_image_is_refused_for_fitting_and_selection(read):
    leaking = task(GaussianNoise(30), tests=("photographs", "leaves-validation"))
    with pytest.raises(PetlirError, match="leaves-validation/leaves-3000 is the test image leaves-validation/"):
        read(leaking, "demo", None)


def test_a_copied_test_image_is_refused_under_another_name(tmp_path):
    for folder, name in (("train", "x"), ("train", "y"), ("test", "z")):
        for side in ("degraded", "clean"):
            (tmp_path / "mine" / folder / side).mkdir(parents=True, exist_ok=True)
            pixels = photographs(None)[name == "x"].clean()
            PIL.Image.fromarray(pixels).save(tmp_path / "mine" / folder / side / f"{name}.png")
    own = PAIRS.open(str(tmp_path / "mine"))
    with pytest.raises(PetlirError, match="mine-train/y is the test image mine-test/z"):
        prepare.training_pairs(own, "demo", None)


def test_real_pairs_are_taken_as_they_are(shared):
    real = Task("real", "Real", None, ("rgb",), {"open": Data("PolyU-train", "PolyU-validation", ("PolyU-test",))})
    root: Path = shared / "datasets"
    assert prepare.fresh_noise(real, "open") is None
    assert len(prepare.training_pairs(real, "open", root)) == 53
    rates = [peak_signal_noise_ratio(pair.clean, pair.degraded) for pair in prepare.test_pairs(real, "open", root)]
    assert 30 < np.mean(rates) < 40


def test_clean_images_need_a_degradation():
    with pytest.raises(PetlirError, match="has no degradation, but photographs holds clean images only"):
        prepare.test_pairs(task(None), "demo", None)
