from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from petlir.benchmark.devices import WorkerSpec
from petlir.benchmark.executors import Event, QueuedJob, local
from petlir.benchmark.executors.local import LocalExecutor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _importable_jobs(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def run(jobs: Sequence[QueuedJob], workers: int = 1, work: str = "jobs:work", threads: int = 3) -> list[Event]:
    events: list[Event] = []
    LocalExecutor(work, [WorkerSpec("cpu", threads)] * workers).run(jobs, events.append)
    return events


def ends(events: Sequence[Event]) -> dict[str, Event]:
    return {event.key: event for event in events if event.kind not in ("started", "progress")}


def test_no_jobs_start_no_worker():
    assert run([]) == []


def test_events_of_one_job_come_in_order_with_its_device():
    events = run([QueuedJob("a", {"do": "half"})])
    assert [(event.kind, event.fraction) for event in events] == [
        ("started", 0.0),
        ("progress", 0.5),
        ("finished", 1.0),
    ]
    assert {event.device for event in events} == {"cpu"}


def test_one_process_serves_job_after_job_with_its_threads():
    events = ends(run([QueuedJob(key, {}) for key in "abc"]))
    assert len({event.result["pid"] for event in events.values()}) == 1
    assert {event.result["threads"] for event in events.values()} == {"3"}


def test_torch_obeys_the_number_of_threads(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert ends(run([QueuedJob("a", {})], work="jobs:torch_threads", threads=1))["a"].result["threads"] == 1


def test_two_workers_work_at_once():
    events = ends(run([QueuedJob(str(i), {}) for i in range(20)], workers=2, work="jobs:slow"))
    assert len({event.result["pid"] for event in events.values()}) == 2


def test_a_job_starts_after_what_it_needs():
    events = run([QueuedJob("b", {}, needs=("a",)), QueuedJob("a", {})], workers=2)
    assert [(event.kind, event.key) for event in events] == [
        ("started", "a"),
        ("finished", "a"),
        ("started", "b"),
        ("finished", "b"),
    ]


@pytest.mark.parametrize("do", ["fail", "refuse", "raise", "kill"])
def test_what_needs_a_lost_job_is_skipped_and_the_rest_goes_on(do):
    jobs = [
        QueuedJob("a", {"do": do}),
        QueuedJob("b", {}, needs=("a",)),
        QueuedJob("c", {}, needs=("b",)),
        QueuedJob("d", {}),
    ]
    events = ends(run(jobs))
    assert {key: event.kind for key, event in events.items() if key != "a"} == {
        "b": "skipped",
        "c": "skipped",
        "d": "finished",
    }
    assert "a" in events["b"].text and "b" in events["c"].text


def test_the_reason_of_an_end_is_one_line():
    events = ends(
        run([QueuedJob("k", {"do": "kill"}), QueuedJob("r", {"do": "raise"}), QueuedJob("p", {"do": "refuse"})])
    )
    assert events["k"].kind == "died" and "SIGKILL" in events["k"].text
    assert events["r"].kind == "died" and events["r"].text == "ValueError: a bug in two lines"
    assert events["p"].result == {"state": "failed", "reason": "no such image"}


PARENT = """
import signal, sys
from petlir.benchmark.executors import QueuedJob
from petlir.benchmark.devices import WorkerSpec
from petlir.benchmark.executors.local import LocalExecutor
sys.path.insert(0, sys.argv[1])
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell job ignores it
    jobs = [QueuedJob("a", {"do": "sleep", "pid_file": sys.argv[2]})]
    LocalExecutor("jobs:work", [WorkerSpec("cpu", 1)]).run(jobs, print)
"""


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, -2)],
    ids=str,
)
def test_no_worker_outlives_its_parent(tmp_path, number, code):
    script, pid_file = tmp_path / "parent.py", tmp_path / "pid"
    script.write_text(PARENT)
    command = [sys.executable, str(script), str(Path(__file__).parent), str(pid_file)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    silent = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stderr=silent, stdout=silent) as parent:
        assert until(lambda: pid_file.exists() and pid_file.read_text() != "")
        worker = int(pid_file.read_text())
        assert alive(worker)
        parent.send_signal(number)
        assert parent.wait(timeout=20) == code
    assert until(lambda: not alive(worker), seconds=5)


def test_a_worker_that_does_not_answer_is_ended_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setattr(local, "GRACE", 0.5)
    events: list[Event] = []
    jobs = [QueuedJob(key, {"do": do}) for key, do in {"a": "sleep", "b": "deaf", "c": "done"}.items()]
    LocalExecutor("jobs:stubborn", [WorkerSpec("cpu", 1)], timeout=3.0).run(jobs, events.append)
    found = ends(events)
    assert {key: event.kind for key, event in found.items()} == {"a": "died", "b": "died", "c": "finished"}
    assert "--cell-timeout 3 s" in found["a"].text and "--cell-timeout 3 s" in found["b"].text


def test_a_job_that_raises_anything_loses_only_itself():
    jobs = [QueuedJob(key, {"do": key}) for key in ("base", "exit", "done")]
    found = ends(run(jobs, work="jobs:stubborn"))
    assert (found["base"].text, found["exit"].text) == ("Ended: in a plugin", "SystemExit: 3")
    assert found["done"].done
