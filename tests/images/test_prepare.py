"""Test the pairs of a task: whole images are degraded with seeds from their names, and test images never train."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from petlir.benchmark.degradation import Chain, Degradation, seed_of
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.degradations.resize import Bicubic, imresize
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import prepare, used
from petlir.benchmark.images.bundled import photographs
from petlir.benchmark.images.used import use
from petlir.benchmark.task import Data, Task
from petlir.tasks.derain_light import DERAIN_LIGHT
from petlir.tasks.pairs import PAIRS
from petlir.tasks.sr_x4 import SR_X4
from tests.helpers.engine import draw, save


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


@pytest.fixture
def sets(tmp_path):
    """Write images to the folders in which BasicSR keeps Set5, Set14 and BSD100."""
    for name, count in (("Set5", 5), ("Set14", 14), ("BSD100", 100)):
        for number, stem in enumerate(FIVE if count == 5 else map(str, range(count))):
            save(tmp_path / name / "HR" / f"{stem}.png", draw([count, number], 24, 32))
    return tmp_path


FIVE = ("baby", "bird", "butterfly", "head", "woman")


def varied(degradation: Degradation, train: str = "Set14", scale: int = 1) -> Task:
    return Task("toy", "Toy", degradation, ("rgb",), {"open": Data(train, "Set14", ("Set5",))}, scale=scale)


@pytest.fixture
def known(monkeypatch):
    """Let toy images pass for sets whose digests the catalogue knows."""
    monkeypatch.setattr(prepare, "digest_of", lambda images, root: images.name)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(FIVE), min_size=1))
def test_an_image_is_degraded_as_if_it_were_alone(sets, chosen):
    """Each image has its own seed, so its rain and noise do not depend on the other images."""
    rainy = varied(Chain((RainStreaks("light"), GaussianNoise(30))))
    whole = {pair.name: pair for pair in prepare.test_pairs(rainy, "open", sets)}
    found = use(rainy, "Set5", sets)
    some = replace(found, entries=[entry for entry in reversed(found.entries) if entry.name in chosen])
    for entry, degraded in zip(some.entries, some.degraded().images, strict=True):
        assert (degraded == whole[entry.name].degraded).all()
    noises = [pair.degraded.astype(int) - pair.clean for pair in whole.values()]
    assert len({noise.tobytes() for noise in noises}) == 5


@pytest.mark.parametrize(("left", "kept"), [(None, Degradation()), (GaussianNoise(30), GaussianNoise(30))])
def test_low_resolution_files_of_a_set_are_used_where_it_ships_them(sets, left, kept):
    steps = Chain((Bicubic(4), left)) if left else Bicubic(4)
    task = varied(steps, "Set5+BSD100", scale=4)
    assert prepare.shrunk_by_files(task, "open", sets) == []
    files = {name: draw([9, number], 6, 8) for number, name in enumerate(FIVE)}
    for name, image in files.items():
        save(sets / "Set5" / "LR_x4" / f"{name}.png", image)
    assert prepare.shrunk_by_files(task, "open", sets) == ["Set5"]
    for pair in prepare.test_pairs(task, "open", sets):
        assert (pair.degraded == kept.degrade(files[pair.name], seed_of("toy", "Set5", pair.name))).all()
    task = replace(task, data={"open": Data("Set5+BSD100", "Set14", ("Set14",))})
    training = prepare.training_pairs(task, "open", sets)
    assert len(training) == 105
    assert all((degraded == files[name]).all() for name, (degraded, _) in zip(FIVE, training[:5], strict=True))
    assert all((degraded == imresize(clean, 1 / 4)).all() for degraded, clean in training[5:])


def test_half_of_the_low_resolution_files_is_an_error(sets):
    save(sets / "Set5" / "LR_x4" / "bird.png", draw([0], 6, 8))
    with pytest.raises(PetlirError, match="Set5 ships no degraded image of baby; expected all or none"):
        prepare.test_pairs(varied(Bicubic(4), scale=4), "open", sets)


def test_low_resolution_files_of_another_size_are_an_error(sets):
    for number, name in enumerate(FIVE):
        save(sets / "Set5" / "LR_x4" / f"{name}.png", draw([number], 6, 7))
    with pytest.raises(
        PetlirError, match=r"LR_x4/baby\.png is 7×6 pixels and its clean image .* 32×24; expected .* 4 times larger"
    ):
        prepare.test_pairs(varied(Bicubic(4), scale=4), "open", sets)


def test_the_digest_sees_what_is_tested_on(sets, known):
    """Noise, its rounding, the origin of the small images, and every pixel of a test set change the digest."""

    def digest(degradation: Degradation) -> str:
        return prepare.data_digest(varied(degradation, scale=4), "open", sets)

    shrunk = Chain((Bicubic(4), GaussianNoise(30)))
    found = [digest(shrunk), digest(Chain((Bicubic(4), GaussianNoise(30, "truncated")))), digest(Bicubic(4))]
    assert digest(shrunk) == found[0]
    for number, name in enumerate(FIVE):
        save(sets / "Set5" / "LR_x4" / f"{name}.png", draw([number], 6, 8))
    found.append(digest(shrunk))
    save(sets / "Set5" / "LR_x4" / "woman.png", draw([7], 6, 8))
    found.append(digest(shrunk))
    assert len(set(found)) == 5


def test_another_encoder_degrades_anew(sets, monkeypatch):
    prepare.test_pairs(varied(Jpeg(30)), "open", sets)
    monkeypatch.setattr(used, "encoder", lambda: "another")
    monkeypatch.setattr(Jpeg, "degrade", None)
    with pytest.raises(TypeError):
        prepare.test_pairs(varied(Jpeg(30)), "open", sets)


def test_pairs_and_clean_images_are_not_mixed(sets):
    with pytest.raises(PetlirError, match=r"trains on Set14\+PolyU-train, which mix pairs with clean images"):
        prepare.fresh_noise(varied(GaussianNoise(30), "Set14+PolyU-train"), "open")


def test_validation_sees_the_same_middle_on_both_sides(sets, monkeypatch):
    monkeypatch.setattr(prepare, "VALIDATION_SIDE", 12)
    for pair in prepare.validation_pairs(varied(Bicubic(4), scale=4), "open", sets):
        whole = draw([14, int(pair.name)], 24, 32)
        assert (pair.clean == whole[4:16, 8:20]).all()
        assert (pair.degraded == imresize(whole, 1 / 4)[1:4, 2:5]).all()


def test_clean_images_need_a_degradation():
    with pytest.raises(PetlirError, match="has no degradation, but photographs holds clean images only"):
        prepare.test_pairs(task(None), "demo", None)


def test_training_images_of_whole_image_degradations_are_drawn_for_each_seed():
    """Rain differs from seed to seed; test images and deterministic degradations do not."""
    rain = [prepare.training_pairs(few(DERAIN_LIGHT), "demo", None, seed=seed) for seed in (0, 1, 0)]
    assert [(one == two).all() for (one, _), (two, _) in zip(rain[0], rain[1], strict=True)] == [False, False]
    assert all((one == two).all() for (one, _), (two, _) in zip(rain[0], rain[2], strict=True))
    small = [prepare.training_pairs(few(SR_X4), "demo", None, seed=seed) for seed in (0, 1)]
    assert all((one == two).all() for (one, _), (two, _) in zip(*small, strict=True))


def few(task: Task) -> Task:
    return task.varied({"images": "2"})
