"""Test that synthetic degradations range from mild to as strong as the tasks', and that a step determines its tiles."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.degradations.camera import CameraNoise
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from petlir.benchmark.pretraining import self_supervised, synthetic
from petlir.benchmark.pretraining.loop import Recipe
from petlir.benchmark.pretraining.synthetic import SYNTHETIC, Pool
from tests.helpers.engine import draw
from tests.helpers.networks import ConvNet

TASKS = {
    "noise": (GaussianNoise(30), GaussianNoise(50)),
    "camera noise": (CameraNoise(),),
    "rain": (RainStreaks("light"), RainStreaks("heavy")),
}


def decibels(degraded, clean) -> float:
    if (degraded == clean).all():
        return math.inf
    return float(peak_signal_noise_ratio(clean, degraded, data_range=255))


@pytest.fixture(scope="module")
def photograph():
    from skimage import data

    return data.astronaut()[100:196, 150:246]


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_every_kind_reaches_from_hardly_visible_to_strong(kind, photograph):
    drawn = [synthetic.draw(kind, photograph, np.random.default_rng(seed)) for seed in range(60)]
    found = sorted(decibels(image, photograph) for image in drawn)
    assert found[0] < 30
    assert found[-1] > 26 if kind == "rain" else found[-1] > 34


@pytest.mark.parametrize("kind", TASKS)
def test_the_strength_of_the_tasks_lies_within(kind, photograph):
    drawn = [decibels(synthetic.draw(kind, photograph, np.random.default_rng(seed)), photograph) for seed in range(100)]
    for task in TASKS[kind]:
        typical = np.median([decibels(task.degrade(photograph, seed), photograph) for seed in range(25)])
        assert np.quantile(drawn, 0.05) < typical < np.quantile(drawn, 0.95)


def test_self_supervision_draws_its_four_kinds_alike(monkeypatch):
    drawn: list[str] = []
    monkeypatch.setattr(self_supervised, "draw", lambda kind, image, rng: drawn.append(kind))
    rng = np.random.default_rng(0)
    for _ in range(2000):
        self_supervised.degrade(draw([0], 8, 8), rng, self_supervised.KINDS)
    assert set(drawn) == {"noise", "gaussian blur", "rain", "resize"} <= set(SYNTHETIC)
    assert all(abs(drawn.count(kind) - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5 for kind in set(drawn))


def test_a_step_makes_one_tile_and_any_step_can_be_the_first():
    made = []

    def make(number):
        made.append(number)
        tile = np.full((1, 1, 3), number, np.uint8)
        return tile, tile

    steady, jumped = Pool(make, 4), Pool(make, 4)
    for step in range(6):
        steady.at(step)
    assert made == list(range(9))
    assert [int(tile[0][0, 0, 0]) for tile in jumped.at(5)] == [5, 6, 7, 8]
    assert steady.at(5)[0][0] is not jumped.at(5)[0][0]
    assert all((a[0] == b[0]).all() for a, b in zip(steady.at(5), jumped.at(5), strict=True))


@pytest.fixture(scope="module")
def stream():
    images = [draw([n], 140, 150) for n in range(3)]
    recipe = Recipe("self-supervised", batch_size=2)
    return lambda: synthetic.batches(ConvNet(4), images, recipe, self_supervised.degrade, self_supervised.KINDS)


def test_a_batch_is_a_function_of_its_step(stream):
    walked, jumped = stream(), stream()
    for step in range(3):
        head, degraded, clean = walked(step)
        assert head == "restore"
        assert degraded.shape == clean.shape == (2, 3, 48, 48)
        assert degraded.dtype == torch.float32
        assert 0 <= degraded.min() <= degraded.max() <= 1
    assert all(torch.equal(a, b) for a, b in zip((degraded, clean), jumped(2)[1:], strict=True))
    assert not torch.equal(walked(3)[2], clean)


def test_clean_crops_are_crops_of_the_images():
    ramp = np.zeros((140, 150, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.indices((140, 150))
    _, _, clean = synthetic.batches(ConvNet(4), [ramp], Recipe(batch_size=4), self_supervised.degrade, ("noise",))(0)
    pixels = (clean * 255).round()
    sides = (pixels[:, :2].amax((2, 3)) - pixels[:, :2].amin((2, 3))).unique()
    assert sides.tolist() == [47]


def test_a_network_of_several_heads_is_refused():
    with pytest.raises(PetlirError, match=r"ipt-tiny has heads for single tasks \(sr_x2, denoise_30\); expected "):
        synthetic.only_head(tiny())
    assert synthetic.only_head(find().build("nafnet-nano")) == "restore"
