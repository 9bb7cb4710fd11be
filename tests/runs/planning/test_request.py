"""Test named grids of several selections, and how a user's options change them."""

from __future__ import annotations

import json

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.runs.planning import Planner, grid_file
from petlir.benchmark.runs.planning.request import request_from_grid

GRID = {
    "backbones": "ipt-nano", "methods": "frozen,lora", "tasks": "denoise_30,denoise_50", "seeds": "0,1",
    "track": "demo",
    "also": [{"backbones": "nafnet-nano", "tasks": "low_light,sidd", "methods": "ssf", "seeds": "0", "steps": 7}],
}  # fmt: skip


@pytest.fixture
def ask(tmp_path, monkeypatch):
    (tmp_path / "two.json").write_text(json.dumps(GRID))
    monkeypatch.setattr(grid_file, "GRIDS", tmp_path)
    return lambda **chosen: request_from_grid("two", [], None, True, "float32", **chosen)


def cells(asked):
    planner = Planner(asked)
    return {(cell.backbone, cell.label, cell.task, cell.seed, cell.steps) for cell in planner.cells}


def test_every_selection_is_planned(ask):
    expected = {("ipt-nano", "frozen", task, 0, 0) for task in ("denoise_30", "denoise_50")}
    expected |= {("ipt-nano", "lora", task, seed, 40) for task in ("denoise_30", "denoise_50") for seed in (0, 1)}
    expected |= {("nafnet-nano", "ssf", task, 0, 7) for task in ("low_light", "sidd")}
    assert cells(ask()) == expected


def test_chosen_tasks_stay_where_they_are_listed_and_others_go_to_the_first(ask):
    found = cells(ask(tasks="sidd,denoise_30,derain_light", seeds="3", methods="bitfit"))
    assert found == {
        ("ipt-nano", "bitfit", "denoise_30", 3, 40),
        ("ipt-nano", "bitfit", "derain_light", 3, 40),
        ("nafnet-nano", "bitfit", "sidd", 3, 7),
    }


def test_a_selection_that_is_not_the_first_can_stand_alone(ask):
    asked = ask(tasks="sidd", steps=5)
    assert asked.also == () and cells(asked) == {("nafnet-nano", "ssf", "sidd", 0, 5)}


def test_chosen_backbones_make_one_selection(ask):
    asked = ask(backbones="restormer-nano")
    assert asked.also == () and {cell[0] for cell in cells(asked)} == {"restormer-nano"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[1]", "grid .*two.json is not an object; expected an object with the keys backbones, methods, tasks"),
        ("{", "grid .*two.json is not JSON: "),
        ('{"backbone": "ipt-nano"}', "grid .*two.json: unknown key 'backbone'; did you mean 'backbones'"),
        ('{"backbones": "ipt-nano", "methods": "lora"}', "grid .*two.json lacks tasks"),
        ('{"steps": "many"}', "grid .*two.json: steps is 'many'; expected a whole number"),
        ('{"methods": 3}', "grid .*two.json: methods is 3; expected comma-separated text"),
        ('{"also": [3]}', "grid .*two.json: also is not a list of selections"),
    ],
)
def test_a_damaged_grid_is_one_line(ask, tmp_path, text, line):
    (tmp_path / "two.json").write_text(text)
    with pytest.raises(PetlirError, match=f"^{line}"):
        ask()


def test_a_saved_grid_asks_for_the_same_cells(ask, tmp_path):
    chosen = {"tasks": "sidd,denoise_30", "seeds": "3"}
    asked = ask(**chosen, save=tmp_path / "saved.toml")
    again = request_from_grid(tmp_path / "saved.toml", [], None, True, "float32")
    assert again == asked and asked.also
    ask(**chosen, save=tmp_path / "saved.toml")
    with pytest.raises(PetlirError, match=r"saved.toml already exists with different content"):
        ask(save=tmp_path / "saved.toml")


def test_a_grid_in_toml_takes_lists(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'backbones = ["ipt-nano"]\nmethods = ["frozen", "lora[rank=2,4]"]\ntasks = "denoise_30"\nseeds = [0, 1]\n'
    )
    asked = request_from_grid(path, [], None, True, "float32", steps=3)
    assert {cell[1] for cell in cells(asked)} == {"frozen", "lora[rank=2]", "lora"}
    assert (asked.track, asked.seeds, asked.steps) == ("demo", "0,1", 3)
