"""Test, on a simulated queue, jobs that end early: a job that ends four times in a row without progress has failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from petlir.benchmark.executors import Event, QueuedJob
from petlir.benchmark.executors import slurm as cluster
from petlir.benchmark.executors.slurm import SlurmExecutor, SlurmProgram


class Queue:
    """A simulated queue that ends each job at once and writes the next entry of `words` as the job's answer."""

    def __init__(self, words: Sequence[dict[str, object]]) -> None:
        self.words, self.sent = list(words), 0

    def take(self, tasks: Sequence[SlurmProgram]) -> list[str]:
        for task in tasks:
            word = self.words.pop(0) if self.words else {}
            if word:
                Path(task.answer).parent.mkdir(parents=True, exist_ok=True)
                Path(task.answer).write_text(json.dumps(word))
            self.sent += 1
        return [str(self.sent)] * len(tasks)


@pytest.fixture
def played(monkeypatch, tmp_path):
    def run(*words):
        queue, events = Queue(words), list[Event]()
        monkeypatch.setattr(SlurmExecutor, "_queued", queue.take)
        monkeypatch.setattr(cluster, "queued", dict)
        monkeypatch.setattr(cluster, "_call", lambda *_: None)
        monkeypatch.setattr(cluster, "PAUSE", 0.0)
        SlurmExecutor("module:work", tmp_path, {}).run(
            [QueuedJob("a", {}), QueuedJob("b", {}, needs=("a",))], events.append
        )
        return queue.sent, events

    return run


def test_four_ends_without_progress_are_a_failure(played, tmp_path):
    sent, events = played()
    assert sent == 4
    assert [(event.key, event.kind) for event in events] == [("a", "died"), ("b", "skipped")]
    logs = tmp_path / "logs" / "4"
    assert events[0].text == f"its SLURM job ended without a result 4 times; logs of the last job: {logs}"


def test_whoever_gets_further_is_submitted_on_and_on(played):
    further = [{"share": share / 10, "text": f"step {share}"} for share in range(1, 8)]
    sent, events = played(*further, {"result": {"state": "done"}}, {"result": {"state": "done"}})
    assert sent == 9, "seven that got further, and one for each cell that ended"
    assert [event.kind for event in events if event.key == "a"] == ["progress"] * 7 + ["finished"]
    assert events[-1].done and events[-1].key == "b"


def test_ends_are_counted_from_the_last_progress(played):
    sent, events = played({"share": 0.5, "text": "half"})
    assert sent == 4, "counted from where it last got further"
    assert events[-2].kind == "died" and events[-1].kind == "skipped"
