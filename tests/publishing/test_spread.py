"""Test the measurement of differences between re-runs with perturbed images."""

from __future__ import annotations

import numpy as np
import pytest

from petlir.benchmark.publishing import spread as spreads
from petlir.benchmark.publishing.spread import measure, rerun, spread
from petlir.benchmark.publishing.tolerance import measured
from tests.helpers.engine import PLUGIN, command
from tests.helpers.samples import finished_in


@pytest.mark.parametrize(("cells", "runs"), [(1, 3), (4, 2), (10, 3)])
def test_ninety_five_percent_of_pairs_of_runs_lie_within_the_spread(cells, runs):
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(20_000, cells, runs)) * 0.03 + draw.normal(size=(20_000, cells, 1))
    another = draw.normal(size=(20_000, 2)) * 0.03
    gap = np.abs(another[:, 0] - another[:, 1])
    first, rest = scores[:2_000], gap[:2_000]
    within = np.mean([distance <= spread(each.tolist()) for each, distance in zip(first, rest, strict=True)])
    assert within == pytest.approx(0.95, abs=0.015)


@pytest.fixture
def trained(lab, tmp_path):
    lab.finished(tmp_path, steps=4)
    (record,) = finished_in(tmp_path)
    return record, lab.request(methods="lora").context


def test_without_noise_a_rerun_is_the_run(trained, monkeypatch):
    record, context = trained
    monkeypatch.setattr(spreads, "PERTURBATION", 0.0)
    (row,) = measure([record], context, "cpu", 1)
    assert row == {"method": record.cell.label, "task": "tiny", "tolerance_db": 0.0, "runs": 2, "cells": 1}


def test_noise_moves_a_rerun_a_little_and_differently_for_each_seed(trained, monkeypatch):
    record, context = trained
    monkeypatch.setattr(spreads, "PERTURBATION", 0.1)
    one, other = (rerun(record, context, "cpu", seed) for seed in (0, 1))
    assert one.keys() == other.keys() == {f"{score.set} {score.protocol}" for score in record.rows()}
    assert one != other
    for name in one:
        assert one[name] == pytest.approx(other[name], abs=0.5)


def test_the_table_has_a_row_for_each_method_and_is_read_back(lab, tmp_path, capsys):
    lab.run(tmp_path / "store", methods="lora,ssf,frozen", steps=1, seeds="1,0")
    table = tmp_path / "tolerance.csv"
    argv = ["spread", table, "--store", tmp_path / "store", "--again", "1", "--device", "cpu"]
    code, out, _ = command(capsys, *argv, "--data", lab.data, "--plugin", PLUGIN)
    assert (code, out) == (0, f"2 tolerances added to {table}\n")
    assert [line.split(",")[0] for line in table.read_text().splitlines()] == ["method", "lora", "ssf"]
    assert 0 <= measured("lora", "lora", "tiny", 1.0, table) < 0.5

    first, *others = table.read_text().splitlines(keepends=True)
    table.write_text(first + others[0].replace("lora,tiny", "lora,tiny,0.125,2,1\nunused,tiny"))
    code, out, _ = command(capsys, *argv, "--data", lab.data, "--plugin", PLUGIN)
    assert (code, out) == (0, f"1 tolerance added to {table}\n"), "ssf, which an interruption lost"
    assert [line.split(",")[0] for line in table.read_text().splitlines()] == ["method", "lora", "unused", "ssf"]
    assert "lora,tiny,0.125,2,1\n" in table.read_text()
