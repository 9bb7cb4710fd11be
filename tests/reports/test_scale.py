"""Large stores: the report stays within its memory, and its first page small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from petlir.reports.site import write_report
from tests.reports.stores import TASKS, Record, record, write_store

METHODS, SEEDS = 333, 10
PROGRAM = """
import re, sys
from pathlib import Path
from petlir.reports.site import write_report
write_report(Path(sys.argv[1]), Path(sys.argv[2]))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
"""Its peak is read from /proc: what `getrusage` gives holds the peak of the process that started it, too."""


def records() -> list[Record]:
    """Many sizes of one method beside the baselines."""
    untrained = [record(method, task, smoke=False) for method in ("frozen", "cascade") for task in TASKS]
    full = [record("full-ft", task, seed, smoke=False) for task in TASKS for seed in range(SEEDS)]
    lora = [
        record("lora", task, seed, label=f"lora[rank={rank}]", smoke=False)
        for rank in range(METHODS)
        for task in TASKS
        for seed in range(SEEDS)
    ]
    return [*untrained, *full, *lora]


def test_ten_thousand_records(tmp_path: Path) -> None:
    made = records()
    assert len(made) > 10_000
    store, out = write_store(tmp_path / "store", made, images=False), tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store), str(out)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path.cwd(),
    )
    assert int(run.stdout.split()[-1]) * 1024 <= 1.5e9


def test_the_first_page_of_twenty_methods_eleven_tasks_and_five_seeds_is_small(tmp_path: Path) -> None:
    tasks = [*TASKS, *(f"task_{number}" for number in range(11 - len(TASKS)))]
    labels = [f"lora[rank={rank}]" for rank in range(20)]
    made = [record("frozen", task, smoke=False) for task in tasks]
    made += [record("lora", t, s, label=label, smoke=False) for label in labels for t in tasks for s in range(5)]
    page = write_report(write_store(tmp_path / "store", made, images=False), tmp_path / "out")
    assert page.stat().st_size <= 2_000_000
