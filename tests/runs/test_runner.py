"""Test the runner from request to records: continuation, failures, exact repetition, and leftovers of killed runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from petlir.benchmark.executors import Event
from petlir.benchmark.records.files import RECORD
from petlir.benchmark.runs import runner
from petlir.benchmark.store import Store
from tests.helpers.engine import PLUGIN, ROOT, Lab, interrupt, restore_batches, results
from tests.helpers.samples import finished_in

DRIVER = """
import sys
from dataclasses import replace
from pathlib import Path
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning.request import request_from_grid

if __name__ == "__main__":
    data, plugin, store = map(Path, sys.argv[1:4])
    chosen = {"methods": sys.argv[4], "tasks": "tiny", "steps": int(sys.argv[5]), "regime": "paper"}
    asked = request_from_grid("demo", [plugin], data, True, "float32", **chosen)
    context = replace(asked.context, checkpoint_seconds=0)
    runner.Mirror = type("Silent", (), dict.fromkeys(("__init__", "put", "close"), lambda *_: None))
    print("worked on", runner.run(replace(asked, context=context), store, device="cpu", workers=1).worked)
"""
"""A program that runs `petlir run` and saves a checkpoint after every step."""


def files(store: Path) -> dict[str, bytes]:
    """Return the contents of adapters and restored images of a store."""
    found = [path for path in store.glob("cells/**/*") if path.suffix in (".safetensors", ".png")]
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


def test_two_stores_hold_the_same(lab, tmp_path):
    for name in ("one", "two"):
        lab.run(tmp_path / name, methods="frozen,adaptformer,adaptir,full-ft")
    assert results(tmp_path / "one") == results(tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert len({r["digests"]["predictions"] for r in results(tmp_path / "one").values()}) == 4


def test_a_second_call_does_nothing_and_says_so(lab, tmp_path):
    first = lab.run(tmp_path, methods="frozen,elsewhere")
    head, reason = first.summary().splitlines()
    assert head == "2 cells: 1 done, 1 not-applicable; processed 2"
    assert ": not applicable: " in reason
    stamps = {path: path.stat().st_mtime_ns for path in Store(tmp_path).files()}
    lab.executor.worked.clear()
    second = lab.run(tmp_path, methods="frozen,elsewhere")
    assert second.summary().splitlines()[0] == "2 cells: 1 done, 1 not-applicable; nothing left to process"
    assert {path: path.stat().st_mtime_ns for path in Store(tmp_path).files()} == stamps
    assert lab.executor.worked == []


def test_only_what_is_missing_is_worked_on(lab, tmp_path):
    lab.run(tmp_path, methods="frozen")
    assert lab.run(tmp_path, methods="frozen", tasks="tiny,tiny_x2").worked == 1


def test_what_fails_is_recorded_and_the_rest_goes_on(lab, tmp_path):
    outcome = lab.run(tmp_path, methods="broken,diverging,elsewhere,frozen")
    assert outcome.states == {"failed": 2, "not-applicable": 1, "done": 1}
    found = results(tmp_path)
    assert found["broken tiny"]["reason"] == "ValueError: no such width"
    assert found["diverging tiny"]["reason"] == "the loss is nan at step 0 of 2 (learning rate 0.0001)"
    assert found["elsewhere tiny"]["reason"] == "ipt-nano has no tokens"
    assert found["frozen tiny"]["reason"] is None
    assert [cell for cell, _ in outcome.failed] == [f"ipt-nano · {m} · tiny · seed 0" for m in ("broken", "diverging")]


def test_failed_cells_are_tried_again(lab, tmp_path):
    lab.run(tmp_path, methods="broken,elsewhere")
    again = lab.run(tmp_path, methods="broken,elsewhere")
    assert (again.worked, len(again.failed)) == (1, 1)
    assert len(Store(tmp_path).files()) == 2


def test_a_dead_workers_cell_is_recorded(lab, tmp_path, monkeypatch):
    def die(jobs, on_event):
        for job in jobs:
            on_event(Event("died", job.key, "cpu", text="its worker process was killed by SIGKILL"))

    monkeypatch.setattr(lab.executor, "run", die)
    outcome = lab.run(tmp_path, methods="frozen")
    assert outcome.failed == [("ipt-nano · frozen · tiny · seed 0", "its worker process was killed by SIGKILL")]


def test_tuning_faults_fail_their_cells_only(lab, tmp_path):
    outcome = lab.run(tmp_path, methods="broken,diverging,frozen", regime="tuned")
    assert outcome.states == {"failed": 2, "done": 1}
    reasons = {name: found["reason"] for name, found in results(tmp_path).items()}
    assert reasons["diverging tiny"].startswith("training diverged at every learning rate: ")
    assert reasons["broken tiny"].endswith("at 0.0001: ValueError: no such width")


def test_every_order_of_cells_gives_the_same(lab, tmp_path):
    lab.run(tmp_path / "one", methods="lora", tasks="tiny,tiny_x2")
    lab.run(tmp_path / "two", methods="lora", tasks="tiny_x2,tiny")
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_a_record_says_what_was_restored(lab, tmp_path):
    lab.run(tmp_path, methods="frozen")
    (record,) = finished_in(tmp_path)
    folder = Store(tmp_path).find(record.key)
    assert folder is not None
    assert sorted(path.name for path in folder.glob("restored/small-test/*")) == ["0.png", "1.png"]
    assert sorted(path.name for path in tmp_path.glob("images/demo/tiny/*/small-test/clean/*")) == [
        "0.png",
        "1.png",
    ]
    assert [row.image for row in record.images] == ["0", "1"]
    assert record.smoke
    assert not (tmp_path / "work" / record.key).exists()


def test_exclusive_only_with_one_worker(lab, tmp_path):
    lab.run(tmp_path, methods="frozen")
    assert finished_in(tmp_path)[0].costs.exclusive


def drive(
    lab: Lab, script: Path, store: Path, methods: str = "adaptformer,adaptir", steps: int = 5
) -> subprocess.Popen[bytes]:
    script.write_text(DRIVER)
    command = [sys.executable, str(script), str(lab.data), str(PLUGIN), str(store), methods, str(steps)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    out, silent = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=out, stderr=silent, start_new_session=True)


def test_a_killed_run_goes_on_to_the_same_bits(lab, tmp_path, monkeypatch):
    """SIGKILL hits the whole process group while the second cell trains; then the same command runs again."""
    restore_batches(monkeypatch)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with drive(lab, tmp_path / "run.py", killed) as process:
        deadline = time.monotonic() + 120
        while not (list(killed.glob("work/*/checkpoint.pt")) and Store(killed).files()):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    assert len(Store(killed).files()) == 1
    assert not list(killed.glob(f"work/*/{RECORD}"))
    lab.run(killed, methods="adaptformer,adaptir", steps=5)
    lab.run(whole, methods="adaptformer,adaptir", steps=5)
    assert results(killed) == results(whole)
    assert files(killed) == files(whole)
    assert not list(killed.glob("work/*"))


@pytest.mark.long
def test_two_runners_on_one_store_do_no_cell_twice(lab, tmp_path, monkeypatch):
    """Both runners get the same cells, one of which requires another; this process joins during the first cell."""
    restore_batches(monkeypatch)
    methods = "frozen,lora,bitfit,follower,elsewhere"
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    with drive(lab, tmp_path / "run.py", shared, methods, 2) as other:
        while not any(shared.glob("leases/*")):
            assert other.poll() is None, "it ended before it could be joined"
            time.sleep(0.005)
        here = lab.run(shared, methods=methods, steps=2).worked
        there = int(other.communicate()[0].split()[-1])
    assert other.returncode == 0
    assert here + there == 6 and min(here, there) > 0, (here, there)
    lab.run(alone, methods=methods, steps=2)
    assert results(shared) == results(alone) and len(results(alone)) == 6
    assert files(shared) == files(alone)
    assert not list(shared.glob("work/*")) and not list(shared.glob("leases/*"))


def test_a_run_goes_on_from_its_checkpoint(lab, tmp_path, monkeypatch):
    """The run is interrupted in this process before step 3; the next run makes only the remaining steps."""
    asked = lab.request(methods="adaptformer", steps=5)
    asked = replace(asked, context=replace(asked.context, checkpoint_seconds=0))
    seen = interrupt(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        runner.run(asked, tmp_path / "killed", device="cpu", workers=1)
    assert seen == [0, 0, 1, 2], "a batch to count costs with, then those of the steps"
    seen.clear()
    runner.run(asked, tmp_path / "killed", device="cpu", workers=1)
    assert seen == [0, 3, 4]
    lab.run(tmp_path / "whole", methods="adaptformer", steps=5)
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
