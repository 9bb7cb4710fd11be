"""Measure what planning, counting and repeated commands cost in large grids, beyond importing torch.

The records are synthetic.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from petlir.benchmark.records.files import RECORD
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.runs.planning.request import request_from_grid
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json
from tests.helpers.engine import PLUGIN, ROOT
from tests.helpers.samples import record

RANKS = ",".join(map(str, range(1, 11)))
SEEDS = ",".join(map(str, range(50)))
GRID: dict[str, Any] = {
    "backbones": "ipt-nano",
    "methods": f"lora[rank={RANKS}]",
    "tasks": "tiny,tiny_x2",
    "regime": "paper",
}
"""Ten methods on two tasks; with fifty seeds, 1,000 cells."""


@dataclass(frozen=True)
class Spent:
    """The CPU seconds and the peak memory in MB of a process and its children."""

    seconds: float
    megabytes: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.seconds - other.seconds, self.megabytes - other.megabytes)


def spent_by(*arguments: str | Path) -> Spent:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *map(str, arguments)], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return Spent(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def least(attempt: Callable[[], Spent], times: int = 3) -> Spent:
    return min((attempt() for _ in range(times)), key=lambda spent: spent.seconds)


@pytest.fixture(scope="module")
def torch_alone() -> Spent:
    return least(lambda: spent_by("-c", "import torch"))


@pytest.fixture(scope="module")
def asked(small_images: Path) -> list[str]:
    flags = {"-b": "backbones", "-m": "methods", "-t": "tasks", "--regime": "regime"}
    given = [part for flag, name in flags.items() for part in (flag, GRID[name])]
    return [*given, "--data", str(small_images), "--plugin", str(PLUGIN)]


@pytest.fixture(scope="module")
def thousand(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a record for each of 1,000 cells."""
    store = Store(tmp_path_factory.mktemp("thousand"))
    planner = Planner(request_from_grid("demo", [PLUGIN], small_images, True, "float32", seeds=SEEDS, **GRID))
    rates = Rates(planner, store)
    for one in map(rates.planned, planner.cells):
        plain = one.cell.to_dict()
        plain["learning_rate"] = plain.pop("rate")
        left = record(key=one.key, key_components=one.parts)
        left["cell"] |= plain
        write_json(one.folder(store) / RECORD, left)
    assert len(store.files()) == 1000
    return store.root


def told(benchmark, what: str, spent: Spent) -> None:
    benchmark.extra_info[what] = f"{spent.seconds:.2f} s, {spent.megabytes:.0f} MB beyond torch"


def test_status_of_a_thousand_cells(benchmark, thousand, torch_alone):
    status = ("-m", "petlir", "status", "--store", thousand)
    first = spent_by(*status)  # makes the index
    spent = benchmark.pedantic(lambda: least(lambda: spent_by(*status)) - torch_alone, rounds=1)
    told(benchmark, "status of 1,000 cells without an index", first - torch_alone)
    told(benchmark, "status of 1,000 cells", spent)
    assert spent.seconds <= 2


@pytest.mark.parametrize("page", [[], ["--no-report"]], ids=["report", "no report"])
def test_a_finished_grid_issued_again(benchmark, asked, thousand, torch_alone, page):
    again = ("-m", "petlir", "run", *asked, "--seeds", SEEDS, "--store", thousand, "--workers", "1", *page)
    spent_by(*again)
    spent = benchmark.pedantic(lambda: least(lambda: spent_by(*again)) - torch_alone, rounds=1)
    told(benchmark, f"1,000 finished cells issued again {' '.join(page)}", spent)
    assert spent.seconds <= 2


def test_the_plan_of_ten_thousand_cells(benchmark, asked, tmp_path, torch_alone):
    seeds = ",".join(map(str, range(500)))
    plan = ("-m", "petlir", "plan", *asked, "--seeds", seeds, "--store", tmp_path)
    spent = benchmark.pedantic(lambda: least(lambda: spent_by(*plan)) - torch_alone, rounds=1)
    told(benchmark, "plan of 10,000 cells", spent)
    assert spent.seconds <= 3 and spent.megabytes <= 500
