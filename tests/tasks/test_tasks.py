"""Test the tasks, which are data: every name in them exists, and simulated degradations are labelled."""

import importlib
import io
import pkgutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir import tasks
from petlir.benchmark import grid
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import prepare
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.simulation import simulation
from petlir.benchmark.protocol import protocol
from petlir.benchmark.task import Family, Task
from petlir.benchmark.weights import cards

MODULES = [importlib.import_module(f"petlir.tasks.{entry.name}") for entry in pkgutil.iter_modules(tasks.__path__)]
TASKS = {value.name: value for module in MODULES for value in vars(module).values() if isinstance(value, Task)}
EXPECTED = {
    *("sr_x2", "sr_x3", "sr_x4", "denoise_30", "denoise_50", "derain_light", "derain_heavy", "low_light"),
    *("hybrid_lr4_noise30", "hybrid_lr4_jpeg30", "rain_noise", "low_light_noise", "sidd", "mixture"),
    *("jpeg", "deblur", "blur_jpeg"),
}
OWN = {"photographs", "pairs-train", "pairs-validation", "pairs-test"}
VARIED = [
    (task, option, value) for task in TASKS.values() for option, values in task.variants.items() for value in values
]
SIMULATED = {
    **dict.fromkeys(("derain_light", "derain_heavy", "rain_noise"), "synthetic"),
    **dict.fromkeys(("low_light", "low_light_noise", "sidd", "deblur", "blur_jpeg"), "simulated"),
}


def test_all_tasks_are_there_one_a_short_file():
    single = [module for module in MODULES if not any(isinstance(value, Family) for value in vars(module).values())]
    assert set(TASKS) == EXPECTED == {module.__name__.removeprefix("petlir.tasks.") for module in single}
    for module in single:
        assert len(Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()) <= 40


EVERY = [task.varied({option: value}) for task, option, value in VARIED] + [*TASKS.values()]
"""All tasks, with each value of each of their options."""
ON_TRACKS = {f"{task.label} {track}": (task, track) for task in EVERY for track in task.data if not task.parts}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_names_exist_and_scales_agree(task):
    assert {"demo", "open"} <= set(task.data)
    assert task.scale == (task.degradation.factor if task.degradation else 1)
    border = f"-crop{task.scale}" if task.scale > 1 else ""
    assert task.protocols[0] in (f"y{border}", "rgb")
    assert protocol(task.protocols[0]).border == (task.scale if task.scale > 1 else 0)
    assert set(task.undo) <= set(TASKS)


@pytest.mark.parametrize(("task", "track"), ON_TRACKS.values(), ids=ON_TRACKS)
def test_every_task_declares_its_images_and_what_may_be_done_with_them(task, track):
    """Every image set has a licence, a citation, and a digest or count; training, validation and test share no set."""
    data = task.on(track)
    held_out = (data.validation, *data.tests)
    for found in map(image_set, (*data.training_sets, *held_out)):
        assert all((found.title, found.licence, found.citation, found.source))
        assert found.bibtex.startswith("@") or found.domain == "procedural" or found.name in OWN
        assert found.known or found.count or found.name in OWN
        assert found.paired or task.degradation is not None
    assert len({*data.training_sets, *held_out}) == len(data.training_sets) + len(held_out)
    assert all(map(protocol, task.protocols))
    assert len({image_set(name).paired for name in data.training_sets}) == 1


@pytest.mark.parametrize(("name", "word"), SIMULATED.items())
def test_what_is_simulated_says_so(name, word):
    assert word in simulation(TASKS[name], "demo")


@pytest.mark.parametrize("name", ["derain_light", "derain_heavy", "sidd"])
def test_real_test_pairs_are_not_called_simulated(name):
    assert simulation(TASKS[name], "open") == ""


def test_blurred_video_is_not_called_simulated():
    assert simulation(TASKS["deblur"], "paper") == ""


@pytest.mark.parametrize("quality", [10, 20, 30, 40])
def test_jpeg_is_what_pillow_makes_of_the_whole_image(quality):
    """The qualities are those of ARCNN, DnCNN and FBCNN; libjpeg halves chroma along both axes by default."""
    task = TASKS["jpeg"].varied({"quality": str(quality)})
    pair = prepare.test_pairs(task, "demo", None)[-1]
    file = io.BytesIO()
    PIL.Image.fromarray(pair.clean).save(file, "JPEG", quality=quality)
    assert (pair.degraded == np.array(PIL.Image.open(file))).all()
    assert f"quality {quality}" in task.title


@pytest.mark.parametrize(("blur", "longest"), [("slight", 9), ("strong", 21)])
def test_deblur_draws_a_line_for_each_image(blur, longest):
    """A point becomes a line through its position that reaches at most half the longest length to each side."""
    degradation = TASKS["deblur"].varied({"blur": blur}).degradation
    assert degradation is not None
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    images = [degradation.degrade(point, seed).astype(float) for seed in range(30)]
    reach = [np.hypot(*(np.argwhere(image[..., 0]) - 20).T).max() for image in images]
    assert 1.5 <= min(reach) < max(reach) <= longest / 2 + 2**0.5
    assert max(reach) > 0.35 * longest


@pytest.mark.parametrize(
    ("backbone", "jpeg", "deblur"),
    [
        ("ipt-nano", "unseen", "unseen"),
        ("edt-nano", "unseen", "unseen"),
        ("nafnet-nano", "seen", "unseen"),
        ("restormer-nano", "unseen", "related"),
    ],
)
def test_what_was_pre_trained_on_compression_or_blur_does_not_pass_as_new(backbone, jpeg, deblur):
    """PROD used JPEG files, but no blur for these weights; the self-supervised recipe used Gaussian blur."""
    found = cards.card(backbone)
    assert tuple(found.transfer(TASKS[name], "demo") for name in ("jpeg", "deblur")) == (jpeg, deblur)


def test_real_noise_is_only_related_to_the_simulation_seen_in_pre_training():
    found = cards.card("nafnet-nano")
    assert [found.transfer(TASKS["sidd"], on) for on in ("demo", "open")] == ["seen", "related"]
    assert [found.transfer(TASKS["derain_heavy"], on) for on in ("demo", "open")] == ["seen", "related"]
    assert [found.transfer(TASKS["denoise_50"], on) for on in ("demo", "open")] == ["seen", "seen"]


def test_the_real_noise_of_the_open_track_is_counted_by_scene(shared):
    found = image_set("PolyU-test").index(shared / "datasets")
    assert f"{len({one.unit for one in found})} test scenes, {len(found)} images" in TASKS["sidd"].on("open").label


def test_unknown_track_names_its_neighbour():
    with pytest.raises(PetlirError, match="did you mean 'demo'"):
        TASKS["sr_x4"].on("dem")


@pytest.mark.parametrize(("task", "option", "value"), VARIED, ids=lambda part: getattr(part, "name", part))
def test_variants_change_what_they_say_and_are_read_back(task, option, value):
    varied = task.varied({option: value})
    changed = {field.name for field in fields(Task) if getattr(varied, field.name) != getattr(task, field.name)}
    if value == next(iter(task.variants[option])):
        assert changed == set()
        assert varied.label == task.name
    else:
        assert changed == {*task.variants[option][value], "chosen", "title"}
        assert varied.label == f"{task.name}[{option}={value}]"
    assert grid.task(varied.label, TASKS) == varied
    assert varied.scale == (varied.degradation.factor if varied.degradation else 1)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_options_of_a_task_change_different_things(task):
    touched = [attribute for values in task.variants.values() for attribute in set().union(*values.values())]
    assert len(touched) == len(set(touched))


def test_variants_of_one_task_see_the_same_noise():
    kept, cut, exact = (
        prepare.test_pairs(TASKS["denoise_50"].varied({"noise": noise}), "demo", None)[-1].degraded.astype(float)
        for noise in ("rounded", "truncated", "float")
    )
    assert (kept == np.rint(exact.clip(0, 255))).all()
    assert (cut == np.floor(exact.clip(0, 255))).all()
