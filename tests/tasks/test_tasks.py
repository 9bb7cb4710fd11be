"""The tasks are data: every name they use exists, and what is simulated says so."""

import importlib
import pkgutil
from pathlib import Path

import pytest

import tasks
from benchmark.errors import PetlirError
from benchmark.experiment import simulation
from benchmark.images import prepare
from benchmark.images.catalogue import image_set
from benchmark.protocol import protocol
from benchmark.task import Family, Task

MODULES = [importlib.import_module(f"tasks.{entry.name}") for entry in pkgutil.iter_modules(tasks.__path__)]
TASKS = {value.name: value for module in MODULES for value in vars(module).values() if isinstance(value, Task)}
EXPECTED = {
    *("sr_x2", "sr_x3", "sr_x4", "denoise_30", "denoise_50", "derain_light", "derain_heavy", "low_light"),
    *("hybrid_lr4_noise30", "hybrid_lr4_jpeg30", "rain_noise", "low_light_noise", "sidd"),
}
SIMULATED = {
    **dict.fromkeys(("derain_light", "derain_heavy", "rain_noise"), "synthetic"),
    **dict.fromkeys(("low_light", "low_light_noise", "sidd"), "simulated"),
}


def test_all_tasks_are_there_one_a_short_file():
    single = [module for module in MODULES if not any(isinstance(value, Family) for value in vars(module).values())]
    assert set(TASKS) == EXPECTED == {module.__name__.removeprefix("tasks.") for module in single}
    for module in single:
        assert len(Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_names_exist_and_scales_agree(task):
    assert {"demo", "open"} <= set(task.data)
    assert task.scale == (task.degradation.factor if task.degradation else 1)
    border = f"-crop{task.scale}" if task.scale > 1 else ""
    assert task.protocols[0] in (f"y{border}", "rgb")
    assert protocol(task.protocols[0]).border == (task.scale if task.scale > 1 else 0)
    assert set(task.undo) <= set(TASKS)
    for data in task.data.values():
        sets = [image_set(name) for name in (data.train, data.validation, *data.tests)]
        assert data.train != data.validation
        assert not {data.train, data.validation} & set(data.tests)
        assert task.degradation is not None or all(found.paired for found in sets)


@pytest.mark.parametrize(("name", "word"), SIMULATED.items())
def test_what_is_simulated_says_so(name, word):
    assert word in simulation(TASKS[name], "demo")


@pytest.mark.parametrize("name", ["derain_light", "derain_heavy", "sidd"])
def test_real_test_pairs_are_not_called_simulated(name):
    assert simulation(TASKS[name], "open") == ""


def test_unknown_track_names_its_neighbour():
    with pytest.raises(PetlirError, match="did you mean 'demo'"):
        TASKS["sr_x4"].on("dem")


def test_open_super_resolution_is_set5_as_papers_shrink_it(shared):
    from benchmark.images.reading import read_image

    root = shared / "datasets"
    for pair in prepare.test_pairs(TASKS["sr_x4"], "open", root)[:5]:
        expected = read_image(root / "Set5/LR_x4" / f"{pair.name}.png").astype(int)
        assert abs(pair.degraded - expected).max() <= 1
