"""Test the comparison of two stores on known differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from petlir.benchmark.errors import PetlirError
from petlir.reports.compare import compare
from tests.reports.stores import record


def store(path: Path, *records: dict[str, Any]) -> Path:
    for one in records:
        folder = path / "cells" / "ipt-nano" / one["cell"]["task"] / f"{one['cell']['label']}-s{one['cell']['seed']}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(one))
    return path


def shifted(one: dict[str, Any], by: list[float]) -> dict[str, Any]:
    scores = [row | {"psnr": row["psnr"] + by[n % len(by)]} for n, row in enumerate(one["scores"])]
    return one | {"scores": scores, "key_components": {"engine": "2"}}


def test_the_same_store_twice_moves_nothing(tmp_path):
    path = store(tmp_path / "a", *(record("lora", "sr_x4", seed) for seed in range(3)))
    found = compare(path, path)
    assert {move.verdict for move in found} == {"equal"}
    assert {(move.delta, move.changed, move.environment) for move in found} == {(0.0, (), ())}


def test_a_move_that_is_the_same_for_all_seeds_has_the_interval_of_a_t_test_over_scenes(tmp_path):
    """Without an effect of the seed, the crossed interval is the t interval of the scenes' means."""
    before = [record("lora", "sr_x4", seed) for seed in range(5)]
    steps = [0.2, 0.4, 0.3, 0.1, 0.35, 0.5]
    after = [shifted(one, steps) for one in before]
    (move,) = (
        move
        for move in compare(store(tmp_path / "a", *before), store(tmp_path / "b", *after))
        if "leaves-test" in move.name
    )
    gaps = [steps[(4 + n) % len(steps)] for n in range(6)]
    mean = sum(gaps) / len(gaps)
    low, high = stats.t.interval(0.95, 5, mean, stats.sem(gaps))
    assert (move.low, move.high) == pytest.approx((low, high), abs=1e-6)
    assert move.delta == pytest.approx(mean, abs=1e-6)
    assert (move.verdict, move.changed) == ("moved", ("engine",))


def test_one_seed_is_not_tested_and_what_only_one_store_has_is_said(tmp_path):
    first = store(tmp_path / "a", record("lora", "sr_x4"), record("adapter", "sr_x4"))
    second = store(tmp_path / "b", shifted(record("lora", "sr_x4"), [1.0]), record("ssf", "sr_x4"))
    verdicts = {move.name.split(" · ")[1]: move.verdict for move in compare(first, second)}
    assert verdicts == {"lora": "not tested", "adapter": "only in the first", "ssf": "only in the second"}


def test_another_machine_is_named(tmp_path):
    there = record("lora", "sr_x4")
    there["environment"]["torch"] = "2.11.0"
    (move, *_) = compare(store(tmp_path / "a", record("lora", "sr_x4")), store(tmp_path / "b", there))
    assert move.environment == ("torch: 2.9.0 -> 2.11.0",)


def test_a_store_without_records_is_refused(tmp_path):
    with pytest.raises(PetlirError, match="holds no records"):
        compare(tmp_path, tmp_path)
