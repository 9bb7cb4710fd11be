"""Test `petlir pretrain`: the weights, card and checkpoint of a small run, and one line for each wrong argument."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from pydantic import TypeAdapter
from skimage import data as scikit_images
from skimage.metrics import peak_signal_noise_ratio

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import test_pairs as pairs_of
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.pretraining import images, prod, scores
from petlir.benchmark.pretraining.command import pretrain_backbone
from petlir.benchmark.pretraining.images import photographs
from petlir.benchmark.pretraining.loop import Recipe
from petlir.benchmark.pretraining.recipes import DEFAULTS, all_but, choose, learnt, training_batches
from petlir.benchmark.pretraining.scores import card_scores
from petlir.benchmark.pretraining.transfer import related, seen
from petlir.benchmark.weights import cards, loading
from tests.helpers.engine import command, draw, save
from tests.helpers.networks import ConvNet

EVERY = find()
TASKS = {name: EVERY.task(name) for name in ("denoise_30", "sr_x2")}
SMALL = Plugins({}, TASKS, {"conv-tiny": lambda: ConvNet(4)}, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png", draw([number], 140, 150))
    return tmp_path / "photos"


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["prod", "self-supervised"])
def test_a_run_leaves_weights_that_load_and_a_card(recipe, folder, tmp_path):
    out = tmp_path / "out"
    arguments = (SMALL, recipe, "conv-tiny", out)
    lines = list(pretrain_backbone(*arguments, images=folder, steps=2, device="cpu"))
    start = f"pre-training conv-tiny with the recipe {recipe}: 2 steps of 8 crops from 400 patches of 256×256 of"
    assert lines[0].startswith(start)
    assert lines[-1] == f"written: {out / 'conv-tiny.safetensors'}"
    assert {path.name for path in out.iterdir()} == {
        f"conv-tiny.{end}" for end in ("safetensors", "json", "checkpoint")
    }
    card = loading.load(ConvNet(4), out)
    assert (card.recipe["name"], card.recipe["steps"], card.recipe["source"]) == (recipe, 2, "photos")
    assert card.device.startswith("cpu")
    assert card.date
    assert set(card.scores) == {"photographs denoise_30"}
    assert str(folder) not in (out / "conv-tiny.json").read_text()
    list(pretrain_backbone(*arguments, images=folder, steps=2, device="cpu"))
    assert cards.card("conv-tiny", out).sha256 == card.sha256


def test_the_scores_of_an_untrained_network_that_passes_its_input_through_are_the_inputs():
    network = ConvNet(4)
    for parameter in network.last.parameters():
        parameter.data.zero_()
    (scores,) = card_scores(network, SMALL, None).values()
    pairs = [pair for pair in pairs_of(TASKS["denoise_30"], "demo", None) if pair.domain == "photographs"]
    expected = fmean(peak_signal_noise_ratio(pair.clean, pair.degraded, data_range=255) for pair in pairs)
    assert scores == {"psnr": pytest.approx(expected, abs=1e-3), "input": pytest.approx(expected, abs=1e-3)}


def test_a_card_of_before_scores_still_loads(tmp_path):
    old = json.loads((cards.SHIPPED / "ipt-nano.json").read_text())
    for key in ("device", "date", "scores"):
        old.pop(key, None)
    (tmp_path / "ipt-nano.json").write_text(json.dumps(old))
    card = cards.card("ipt-nano", tmp_path)
    assert (card.device, card.date, card.scores) == ("", "", {})


def test_what_was_seen_and_what_resembles_it():
    """For every recipe, low light stays unseen, and no task is both seen and related."""
    ipt = ("sr_x2", "sr_x3", "sr_x4", "derain", "denoise_30", "denoise_50")
    shipped = cards.card("ipt-nano")
    assert set(seen(ipt)) == set(shipped.pretrained_on)
    assert related(ipt) == shipped.related
    edt = ("sr_x4", "denoise_25", "derain_light")
    assert seen(edt) == edt
    assert related(edt)["denoise_30"] == "denoise_25"
    for names in (
        ipt,
        edt,
        ("noise", "rain", "resize"),
        ("noise", "rain", "resize", "camera noise", "jpeg", "motion blur"),
    ):
        assert not set(seen(names)) & set(related(names))
        assert "low_light" not in {*seen(names), *related(names)}
        assert set(related(names)) <= set(EVERY.tasks)
    assert related(("noise", "rain", "resize"))["sidd"] == "noise"
    assert "sidd" in seen(("noise", "camera noise"))
    assert "deblur" in seen(("noise", "motion blur"))


@pytest.mark.parametrize("backbone", DEFAULTS)
def test_shipped_cards_say_what_their_recipe_taught(backbone):
    card = cards.card(backbone)
    taught = learnt(EVERY.build(backbone), TypeAdapter(Recipe).validate_python(card.recipe))
    assert set(card.pretrained_on) == set(seen(taught))
    assert card.related == related(taught)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ((None, None), ("multitask", "ipt-nano")),
        (("prod", None), ("prod", "nafnet-nano")),
        (("self-supervised", None), ("self-supervised", "restormer-nano")),
        ((None, "edt-nano"), ("multitask", "edt-nano")),
        ((None, "restormer-nano"), ("self-supervised", "restormer-nano")),
        (("prod", "restormer-nano"), ("prod", "restormer-nano")),
    ],
)
def test_a_recipe_has_its_backbone_and_a_backbone_its_recipe(given, chosen):
    assert choose(*given)[:2] == chosen


def test_photographs_take_turns(folder):
    found = photographs(folder, 6, 0, {})
    assert [image.shape for image in found] == [(140, 150, 3)] * 6
    assert [sum((image == other).all() for other in found) for image in found] == [2] * 6


def test_patches_of_large_photographs_lie_inside(tmp_path):
    plane = np.zeros((300, 290, 3), np.uint8)
    plane[:, :, 0], plane[:, :, 1] = np.indices((300, 290)) % 256
    save(tmp_path / "a.png", plane)
    first, second = photographs(tmp_path, 2, 0, {})
    assert first.shape == second.shape == (256, 256, 3)
    assert (first != second).any()


def test_test_images_are_refused(tmp_path):
    save(tmp_path / "photos" / "a.png", images.patch(scikit_images.astronaut(), 512, np.random.default_rng(0)))
    save(tmp_path / "taken" / "b.png", next(iter(pairs_of(TASKS["denoise_30"], "demo", None))).clean)
    steps = pretrain_backbone(SMALL, "prod", "conv-tiny", tmp_path / "out", images=tmp_path / "taken", steps=1)
    with pytest.raises(PetlirError, match=r"b.png is the test image leaves-test/.*; expected photographs that are"):
        list(steps)
    assert not (tmp_path / "out" / "conv-tiny.checkpoint").exists()
    assert photographs(tmp_path / "photos", 1, 0, {})[0].shape == (256, 256, 3)


def test_every_single_task_of_the_demo_is_scored_and_has_images():
    trials = list(scores._trials(EVERY.build("nafnet-nano"), EVERY, None))
    assert all(pairs and not task.parts for _, task, pairs in trials)
    assert {"deblur", "jpeg", "low_light", "sidd"} <= {task.name for _, task, _ in trials}


def test_what_is_left_out_is_neither_drawn_nor_seen(monkeypatch):
    drawn = []

    def noted(kind, image, rng):
        drawn.append(kind)
        return image

    monkeypatch.setattr(prod, "draw", noted)
    network = SMALL.build("conv-tiny")
    recipe = Recipe("prod", batch_size=2, without="motion blur, gaussian blur")
    training_batches(network, [images.patch(scikit_images.astronaut(), 256, np.random.default_rng(0))], recipe)(0)
    assert set(drawn) == {"resize", "noise", "camera noise", "jpeg", "rain"}
    assert "deblur" not in seen(learnt(network, recipe))


def test_what_is_chosen_is_all_that_is_seen():
    network = SMALL.build("conv-tiny")
    left_out = all_but("jpeg, noise", "prod", network)
    assert learnt(network, Recipe("prod", without=left_out.replace(",", ", "))) == ("noise", "jpeg")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["prdo"], "petlir: unknown recipe 'prdo'; did you mean 'prod'?"),
        (["prod", "-b", "nafnet-nan"], "petlir: unknown backbone 'nafnet-nan'; did you mean 'nafnet-nano'?"),
        (["prod", "-b", "ipt-nano"], "petlir: ipt-nano has heads for single tasks ("),
        (["multitask", "-b", "nafnet-nano"], "petlir: nafnet-nano has no heads for several tasks"),
        (["prod", "--images", "nowhere"], "petlir: nowhere is not a folder"),
        (
            ["prod", "--without", "blur"],
            "petlir: unknown head or degradation of the recipe prod 'blur'; did you",
        ),
        (
            ["self-supervised", "--without", "noise,gaussian blur,rain,resize"],
            "petlir: --without leaves out every part of the",
        ),
        (
            ["prod", "--only", "nosie"],
            "petlir: unknown head or degradation of the recipe prod 'nosie'; did you mean 'noise'?",
        ),
        (["prod", "--only", "noise", "--without", "jpeg"], "petlir: --without and --only are both given"),
        (["prod", "--steps", "0"], "petlir: Invalid value for '--steps'"),
        (["prod", "--device", "tpu"], "petlir: device 'tpu' is not available"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, line, capsys, tmp_path):
    code, _, err = command(capsys, "pretrain", *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
