"""Test the paper track: the AdaptIR paper's sets, budgets and schedule, on tiny images in the real folder layouts."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from petlir.benchmark.cells.adapted_model import sampler
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.resize import imresize
from petlir.benchmark.images import prepare, used
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.imageset import ImageSet
from petlir.benchmark.images.listed import CataloguedIndex
from petlir.benchmark.plugins import find
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.store import Store
from petlir.benchmark.track import PAPER
from petlir.benchmark.training.loop import Budget
from tests.helpers.engine import Lab, draw, save

TASKS = {name: task for name, task in find().tasks.items() if "paper" in task.data}
STEPS_AN_EPOCH = {
    **dict.fromkeys(("sr_x2", "sr_x3", "sr_x4", "hybrid_lr4_noise30", "hybrid_lr4_jpeg30", "sidd"), 53),
    **dict.fromkeys(("jpeg", "deblur"), 53),
    **dict.fromkeys(("denoise_30", "denoise_50"), 134),
    "derain_light": 75,
    "derain_heavy": 112,
    "low_light": 121,
}
"""Steps per epoch in the official code at a total batch size of 64; for SIDD, JPEG and blur they are unknown."""
ELSEWHERE = {"LOLv1": "LOLv1-test", "SIDD": "SIDD-validation"}
"""Test sets that have another name in the published table."""
DIV2K, FLICKR = "DIV2K/DIV2K_train_HR", "Flickr2K/Flickr2K_HR"
PHOTOGRAPHS = {
    f"{DIV2K}/0001": 1, f"{DIV2K}/0002": 2, f"{FLICKR}/000001": 3, "DIV2K/DIV2K_valid_HR/0801": 4,
    "WED/00001": 5, "BSD400/2092": 6, "CBSD68/101085": 7, "Urban100/HR/img_001": 8,
    "benchmark/Set5/HR/baby": 9, "ARTSR/Set14/HR/comic": 10, "BSDS100/GTmod12/3096": 11, "ARTSR/Manga109/HR/Aku": 12,
    "LOLv1/our485/high/2": 13, "LOLv1/our485/low/2": 14, "LOLv1/eval15/high/1": 15, "LOLv1/eval15/low/1": 16,
    "RainTrainL/norain-1": 17, "RainTrainL/rain-1": 18, "RainTrainH/norain-1": 19, "RainTrainH/rain-1": 20,
    "Rain13K/target/1": 21, "Rain13K/input/1": 22,
    "Rain100L/norain-001": 23, "Rain100L/rainy/rain-001": 24, "Rain100H/norain-001": 25, "Rain100H/rainy/rain-001": 26,
    "SIDD_Medium_Srgb/Data/0001_001/0001_GT_SRGB_010": 27, "SIDD_Medium_Srgb/Data/0001_001/0001_NOISY_SRGB_010": 28,
    "LIVE1/bikes": 31, "GoPro/train/target/GOPR0372_07_00-000047": 32, "GoPro/train/input/GOPR0372_07_00-000047": 33,
    "GOPRO_Large/test/GOPR0384_11_00/sharp/000001": 34, "GOPRO_Large/test/GOPR0384_11_00/blur/000001": 35,
    "PolyU/clean/Sony_4_100_1600_desk_1": 29, "PolyU/noisy/Sony_4_100_1600_desk_1": 30,
}  # fmt: skip
SHRUNK = {"DIV2K/DIV2K_train_LR_bicubic/X4/0001x4": 101, "DIV2K/DIV2K_train_LR_bicubic/X4/0002x4": 102}


def few(name: str) -> ImageSet:
    """Return the image set of this name with its expected number of images removed."""
    found = image_set(name)
    assert isinstance(found.find, CataloguedIndex)
    return replace(found, known=None, count=None, find=replace(found.find, names=None, count=None))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write one or two images of each set in the usual folder layouts."""
    for place, seed in PHOTOGRAPHS.items():
        save(tmp_path / f"{place}.png", draw([seed], 200, 208))
    for place, seed in SHRUNK.items():
        save(tmp_path / f"{place}.png", draw([seed], 50, 52))
    for side, grey in (("Gt", 80), ("Noisy", 90)):
        blocks = np.full((40, 1, 48, 48, 3), grey, np.uint8)
        savemat(tmp_path / f"Validation{side}BlocksSrgb.mat", {f"Validation{side}BlocksSrgb": blocks})
    monkeypatch.setattr(used, "image_set", few)
    yield tmp_path


def test_all_of_them_are_there():
    assert set(TASKS) == {*STEPS_AN_EPOCH, "mixture"}
    parts = ("denoise_50", "derain_heavy", "low_light")
    assert TASKS["mixture"].on("paper").steps == 500 * sum(STEPS_AN_EPOCH[part] for part in parts)
    assert (PAPER.batch_size, PAPER.patch, PAPER.regime) == (64, 48, "paper")


@pytest.mark.parametrize("name", STEPS_AN_EPOCH)
def test_the_budget_is_five_hundred_epochs_and_the_rate_halves_at_theirs(shared, name):
    steps, epoch = TASKS[name].on("paper").steps, STEPS_AN_EPOCH[name]
    assert steps == 500 * epoch
    golden = json.loads((shared / "goldens" / "optim.json").read_text())["lr_at_epoch"]
    for number, rate in golden.items():
        for step in (int(number) * epoch, (int(number) + 1) * epoch - 1):
            assert Budget(steps, 1e-4).rate_at(step) == pytest.approx(rate, rel=1e-12)


def test_test_sets_are_those_of_the_papers_tables(shared):
    with (shared / "facts" / "published.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["paper"].startswith("AdaptIR")]
    tables = {task: {row["test_set"] for row in rows if row["task"] == task} for task in {row["task"] for row in rows}}
    assert len(tables) >= 7
    for task, sets in tables.items():
        assert {image_set(ELSEWHERE.get(name, name)).name for name in sets} <= {*TASKS[task].on("paper").tests}


def test_a_cell_takes_the_budget_of_its_task(lab: Lab, root: Path):
    request = lab.request(backbones="ipt-nano", track="paper", tasks="sr_x4,derain_light", steps=None, regime=None)
    light, large = sorted(Planner(request).cells, key=lambda cell: cell.task)
    assert [(cell.steps, cell.batch_size, cell.patch, cell.rate) for cell in (light, large)] == [
        (37_500, 64, 48, 1e-4), (26_500, 64, 48, 1e-4),
    ]  # fmt: skip
    asked = replace(request, steps=7)
    assert {cell.steps for cell in Planner(asked).cells} == {7}


@pytest.mark.parametrize(
    "name", [*sorted(set(TASKS) - {"sidd"}), "derain_light[train=Rain13K]", "denoise_30[noise=official]"]
)
def test_images_load_from_the_layouts_of_the_wild(lab: Lab, root: Path, name: str):
    context = lab.context(data=str(root))
    task = context.plugins.task(name)
    asked = lab.request(backbones="ipt-nano", track="paper", tasks=name, steps=None)
    (cell,) = Planner(replace(asked, context=context)).cells
    degraded, clean = sampler(cell, context).batch(0)
    assert degraded.shape == (64, 3, 48, 48)
    assert clean.shape == (64, 3, 48 * task.scale, 48 * task.scale)
    parts = task.parts or (task,)
    assert len(context.validation(name, "paper")) == len(parts)
    tests = context.tests(name, "paper")
    sets = [(part.name, one) for part in parts for one in part.on("paper").tests]
    expected = [f"{part}/{one}" for part, one in sets] if task.parts else [one for _, one in sets]
    assert list(dict.fromkeys(pair.set for pair in tests)) == expected
    assert len(tests) == (40 if name == "sidd" else len(sets))
    assert all(pair.clean.shape[0] == task.scale * pair.degraded.shape[0] for pair in tests)


def test_super_resolution_trains_on_the_sets_own_files_and_on_matlabs_bicubic(root: Path):
    pairs = prepare.training_pairs(TASKS["sr_x4"], "paper", root)
    for number, (degraded, clean) in enumerate(pairs):
        expected = draw([101 + number], 50, 52) if number < 2 else imresize(clean, 1 / 4)
        assert (degraded == expected).all()
    assert prepare.shrunk_by_files(TASKS["sr_x4"], "paper", root) == ["DIV2K"]
    assert prepare.shrunk_by_files(TASKS["sr_x2"], "paper", root) == []


def test_hybrid_tests_are_shrunk_whole_to_8_bit_then_noisy(root: Path):
    pair = prepare.test_pairs(TASKS["hybrid_lr4_noise30"], "paper", root)[0]
    seed = seed_of("hybrid_lr4_noise30", "Set5", "baby")
    assert (pair.degraded == GaussianNoise(30).degrade(imresize(pair.clean, 1 / 4), seed)).all()


@pytest.mark.parametrize(("train", "sets"), [("all", 5), ("WED+BSD400", 2)])
def test_denoising_trains_on_the_sets_of_the_text_or_of_the_table(root: Path, train: str, sets: int):
    assert len(prepare.training_pairs(TASKS["denoise_50"].varied({"train": train}), "paper", root)) == sets


def test_real_rain_dark_and_blur_are_taken_as_they_are(root: Path):
    for name, place in (("derain_heavy", 20), ("low_light", 14), ("deblur", 33)):
        assert prepare.fresh_noise(TASKS[name], "paper") is None
        ((degraded, clean),) = prepare.training_pairs(TASKS[name], "paper", root)
        assert (degraded == draw([place], 200, 208)).all()
        assert (clean == draw([place - 1], 200, 208)).all()


def test_the_frames_of_a_recording_are_one_unit_in_either_layout(root: Path):
    (test,), (train,) = (few(name).index(root) for name in ("GoPro-test", "GoPro-train"))
    assert (test.name, test.unit) == ("GOPR0384_11_00-000001", "GOPR0384_11_00")
    assert (train.name, train.unit) == ("GOPR0372_07_00-000047", "GOPR0372_07_00")


def test_a_cell_of_the_paper_track_has_a_record(lab: Lab, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "digest_of", lambda images, root: images.name)
    lab = replace(lab, data=root)
    chosen = {"track": "paper", "tasks": "low_light,hybrid_lr4_jpeg30[jpeg=official]", "steps": None, "regime": None}
    lab.run(tmp_path / "store", methods="frozen", **chosen)
    hybrid, dark = sorted(Store(tmp_path / "store").records(), key=lambda record: str(record.cell.task))
    for record, sets in ((dark, ["LOLv1-test"]), (hybrid, ["Set5", "Set14", "BSD100", "Urban100", "Manga109"])):
        assert (record.state, record.reason, record.smoke) == ("done", None, False)
        assert [score.set for score in record.rows()] == sets
        assert all(np.isfinite(score.value) for score in record.rows())
    assert dark.cell.data_label == ""
    assert hybrid.cell.data_label == "low-resolution files of DIV2K"
    assert "on='crops', swapped=True" in hybrid.cell.degradation
