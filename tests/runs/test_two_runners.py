"""Test two `petlir run` commands on one store at the same time, as two users would start them; one is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from petlir.benchmark.commands.lists import working
from petlir.benchmark.store import Store
from tests.helpers.engine import PLUGIN, Lab, results, spawned

pytestmark = pytest.mark.long
METHODS = "frozen,lora,ssf"


def grid(lab: Lab, store: Path) -> list[str | Path]:
    asked = ["-m", METHODS, "-t", "tiny", "--steps", "10", "--regime", "paper", "--workers", "1", "--device", "cpu"]
    return ["run", *asked, "--data", lab.data, "--plugin", PLUGIN, "--store", store, "--no-report"]


def until_told(store: Path, expected: list[str]) -> None:
    deadline = time.monotonic() + 120
    while (found := sorted(row["state"] for row in working(Store(store)))) != expected:
        assert time.monotonic() < deadline, f"at work: {found}; expected {expected}"
        time.sleep(0.01)


def test_what_a_killed_runner_held_is_taken_over_by_the_one_beside_it(lab, tmp_path):
    shared = tmp_path / "shared"
    with spawned(*grid(lab, shared)) as killed, spawned(*grid(lab, shared)) as left:
        until_told(shared, ["running", "running"])
        os.killpg(killed.pid, signal.SIGKILL)
        until_told(shared, ["dead", "running"])
        out, err = left.communicate(timeout=240)
    assert left.returncode == 0, err
    assert out.startswith("3 cells: 3 done"), (out, err)
    lab.run(tmp_path / "alone", methods=METHODS, steps=10)
    assert results(shared) == results(tmp_path / "alone")
    assert not list(shared.glob("work/*")) and not list(shared.glob("claims/*"))


def test_two_runners_that_both_end_do_no_cell_twice(lab, tmp_path):
    with spawned(*grid(lab, tmp_path)) as one, spawned(*grid(lab, tmp_path)) as two:
        told = [runner.communicate(timeout=300) for runner in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), told
    assert all(out.startswith("3 cells: 3 done") for out, _ in told), told
    worked = [int(found[1]) if (found := re.search(r"processed (\d+)", out)) else 0 for out, _ in told]
    assert sum(worked) == 3, told
    assert len(list(Store(tmp_path).records())) == 3
