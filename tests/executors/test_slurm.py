"""Test running cells as jobs of a real one-node SLURM; cancelled and timed-out jobs continue from their checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.executors import Event, QueuedJob
from petlir.benchmark.executors import slurm as cluster
from petlir.benchmark.executors.slurm import options
from petlir.benchmark.store import Store
from tests.executors.one_node_slurm import lacking, one_node
from tests.helpers.engine import PLUGIN, ROOT, command, results

T = TypeVar("T")
SLOW = Path(__file__).parents[1] / "helpers" / "plugins" / "slow.py"
STEPS = 8
RANKS = ",".join(map(str, range(1, 13)))
ASKED = ["-m", f"slow[rank={RANKS}]", "-t", "tiny", "--steps", str(STEPS), "--regime", "paper", "--no-report"]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Mapping[str, str]]:
    if reason := lacking():
        assert "PETLIR_NEEDS_SLURM" not in os.environ, reason
        pytest.skip(reason)
    pytest.importorskip("submitit")
    with one_node() as environment:
        yield environment


def petlir(store: Path, data: Path, environment: Mapping[str, str], *more: str) -> subprocess.Popen[str]:
    places = map(str, ["--store", store, "--data", data, "--plugin", PLUGIN, "--plugin", SLOW])
    command = [sys.executable, "-m", "petlir", "run", *ASKED, *places, *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**environment, "PYTHONPATH": str(ROOT)}, stdout=pipe, stderr=pipe, text=True)


def cancel(title: str, store: Path, log: Path, environment: Mapping[str, str]) -> None:
    """Cancel the job that runs a cell once the cell has begun to train."""
    working = until(lambda: [one for one in Store(store).leases.standing() if one.title == title and one.alive])
    until(lambda: log.exists() and log.read_text().split().count("2") > 1)  # one to count costs, and a step
    process = Path(f"/proc/{working[0].process.pid}/environ").read_text().split("\0")
    told = dict(item.split("=", 1) for item in process if item.startswith("SLURM_ARRAY_"))
    number = f"{told['SLURM_ARRAY_JOB_ID']}_{told['SLURM_ARRAY_TASK_ID']}"  # the only name that scancel knows it by
    subprocess.run(["scancel", number], env=environment, check=True)
    until(lambda: "JobState=CANCELLED" in shown(number, environment))


def shown(number: str, environment: Mapping[str, str]) -> str:
    """Return what `scontrol` prints about a job."""
    show = ["scontrol", "show", "job", number]
    return subprocess.run(show, env=environment, capture_output=True, text=True, check=True).stdout


def until(condition: Callable[[], T], seconds: float = 300) -> T:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


@pytest.mark.long
def test_jobs_that_end_early_go_on_and_all_is_as_on_one_machine(slurm, small_images, tmp_path):
    store, log = tmp_path / "slurm", tmp_path / "steps"
    # rank 2 is cancelled; rank 3 takes more than its minute
    environment = {**slurm, "PETLIR_SLOW": "2:3,3:9", "PETLIR_SLOW_LOG": str(log)}
    with petlir(store, small_images, environment, "--executor", "slurm", "--slurm", "time=1") as process:
        cancel("ipt-nano · slow[rank=2] · tiny · seed 0", store, log, environment)
        out, err = process.communicate(timeout=900)
    assert process.returncode == 0, (out, err)
    assert out.startswith("12 cells: 12 done; processed 12"), out
    logs = [path.read_text() for path in (store / "slurm/logs").glob("*.err")]
    assert any("DUE TO TIME LIMIT" in text for text in logs), logs
    with petlir(tmp_path / "local", small_images, slurm, "--device", "cpu", "--workers", "1") as process:
        assert process.wait(timeout=600) == 0
    assert results(store) == results(tmp_path / "local")
    assert not list(store.glob("work/*")) and not list(store.glob("claims/*"))
    steps = Counter(log.read_text().split())
    assert steps["4"] == STEPS + 1, "a batch to count costs with, then the steps"
    for rank in ("2", "3"):
        assert STEPS + 2 <= steps[rank] < 2 * STEPS, "costs were counted again, and it went on from its checkpoint"


def test_how_jobs_end(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    kinds = ("done", "fail", "refuse", "raise", "half")
    jobs = [QueuedJob(do, {"do": do}) for do in kinds] + [
        QueuedJob("after", {}, needs=("fail",)),
        QueuedJob("last", {}, needs=("half",)),
    ]
    events: list[Event] = []
    cluster.executor("tests.executors.jobs:work", tmp_path, "time=5").run(jobs, events.append)
    ends = {event.key: event for event in events if event.kind in ("finished", "died", "skipped")}
    assert {key: (end.kind, end.result.get("state")) for key, end in ends.items()} == {
        "done": ("finished", "done"), "fail": ("finished", "failed"), "refuse": ("finished", "failed"),
        "raise": ("died", None), "half": ("finished", "done"), "after": ("skipped", None), "last": ("finished", "done"),
    }  # fmt: skip
    assert ends["raise"].text == "ValueError: a bug in two lines"
    assert ends["refuse"].result["reason"] == "no such image"
    assert ends["done"].result["threads"] == "1"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tme=5", "unknown option of --slurm 'tme'; did you mean 'time'?"),
        ("time=soon", "--slurm time=soon: expected time=a number above 0"),
        ("partition", "--slurm partition: expected partition=a name"),
    ],
)
def test_options_that_are_wrong(text, line):
    with pytest.raises(PetlirError) as told:
        options(text)
    assert str(told.value) == line


def test_options():
    assert options("") == {"time": 60, "cpus": 1}
    assert options("time=5,partition=gpu,gpus=1") == {"time": 5, "cpus": 1, "partition": "gpu", "gpus": 1}


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--slurm", "time=5"], "petlir: --slurm time=5 needs --executor slurm"),
        (["--executor", "slrm"], "petlir: unknown executor 'slrm'; did you mean 'slurm'?"),
    ],
)
def test_a_wrong_executor_is_told_before_anything_runs(small_images, tmp_path, capsys, flags, line):
    asked = ["-m", "frozen", "-t", "tiny", "--data", small_images, "--plugin", PLUGIN, "--store", tmp_path / "store"]
    code, _, err = command(capsys, "run", *asked, *flags)
    assert (code, err.strip()) == (2, line)
    assert not (tmp_path / "store").exists()


def test_what_the_cluster_has_not_is_told_in_one_line(slurm, small_images, tmp_path):
    more = ("--executor", "slurm", "--slurm", "partition=gpu")
    with petlir(tmp_path / "store", small_images, slurm, *more) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    (line,) = (line for line in err.splitlines() if line.startswith("petlir: "))
    assert line.startswith("petlir: SLURM rejects the jobs: ") and "partition" in line
    assert "Traceback" not in err


def test_without_slurm_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PetlirError, match=r"^--executor slurm needs "):
        cluster.executor("petlir.benchmark.cells.worker:work", tmp_path, "")
