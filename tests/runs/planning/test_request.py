"""A named grid of several selections, and what a user's choice makes of it."""

from __future__ import annotations

import json

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.runs.planning import Planner, request
from petlir.benchmark.runs.planning.request import request_from_grid

GRID = {
    "backbones": "ipt-nano", "methods": "frozen,lora", "tasks": "denoise_30,denoise_50", "seeds": "0,1",
    "track": "demo",
    "also": [{"backbones": "nafnet-nano", "tasks": "low_light,sidd", "methods": "ssf", "seeds": "0", "steps": 7}],
}  # fmt: skip


@pytest.fixture
def ask(tmp_path, monkeypatch):
    (tmp_path / "two.json").write_text(json.dumps(GRID))
    monkeypatch.setattr(request, "GRIDS", tmp_path)
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


@pytest.mark.parametrize("text", ["[1]", "{", '{"backbone": "ipt-nano"}'])
def test_a_damaged_grid_is_one_line(ask, tmp_path, text):
    (tmp_path / "two.json").write_text(text)
    with pytest.raises(PetlirError, match=r"^grid .*two.json is damaged: .*; expected what `petlir run` takes"):
        ask()
