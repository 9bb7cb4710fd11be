"""Test large stores: the report stays within its memory limit, and its first page stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from petlir.reports.site import write_report
from tests.reports.stores import TASKS, Record, record, write_store

METHODS, SEEDS, LIMIT = 333, 10, 1.5e9
PROGRAM = """
import re, sys
from pathlib import Path
import torch
from petlir.reports.site import write_report

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

imported = peak()
write_report(Path(sys.argv[1]), Path(sys.argv[2]))
print(imported, peak())
"""
"""A program that measures the peak memory of a report.

It imports torch first, since the report needs it for the named grids of these tasks. It reads the peak from /proc,
since `getrusage` includes the peak of the parent process.
"""


def records(methods: int) -> list[Record]:
    """Return the records of many sizes of one method, beside the baselines."""
    untrained = [record(method, task, smoke=False) for method in ("frozen", "cascade") for task in TASKS]
    full = [record("full-ft", task, seed, smoke=False) for task in TASKS for seed in range(SEEDS)]
    lora = [
        record("lora", task, seed, label=f"lora[rank={rank}]", smoke=False)
        for rank in range(methods)
        for task in TASKS
        for seed in range(SEEDS)
    ]
    return [*untrained, *full, *lora]


@pytest.mark.parametrize("methods", [METHODS // 5, pytest.param(METHODS, marks=pytest.mark.long)])
def test_ten_thousand_records_and_a_fifth_of_them(tmp_path: Path, methods: int) -> None:
    """Beyond the memory of imported libraries, a fifth of the records may take a fifth of the limit."""
    made = records(methods)
    assert len(made) > 10_000 * (methods / METHODS)
    store, out = write_store(tmp_path / "store", made, images=False), tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store), str(out)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path.cwd(),
    )
    imported, peak = map(int, run.stdout.split()[-2:])
    assert peak - imported <= (LIMIT - imported) * methods / METHODS


def test_the_first_page_of_twenty_methods_eleven_tasks_and_five_seeds_is_small(tmp_path: Path) -> None:
    tasks = [*TASKS, *(f"task_{number}" for number in range(11 - len(TASKS)))]
    labels = [f"lora[rank={rank}]" for rank in range(20)]
    made = [record("frozen", task, smoke=False) for task in tasks]
    made += [record("lora", t, s, label=label, smoke=False) for label in labels for t in tasks for s in range(5)]
    page = write_report(write_store(tmp_path / "store", made, images=False), tmp_path / "out")
    assert page.stat().st_size <= 2_000_000
