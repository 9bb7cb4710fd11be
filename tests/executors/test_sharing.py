"""Test sharing jobs with another runner: wait for its jobs, report what it finishes, and take over what it abandons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from petlir.benchmark.executors import Event, QueuedJob, Schedule, sharing
from petlir.benchmark.executors.sharing import Sharing


class Other:
    """An executor in this process beside a simulated second runner, which holds some jobs for a number of polls."""

    def __init__(self, held: dict[str, int], ends: dict[str, str]) -> None:
        self.held, self.ends = held, ends
        self.worked: list[str] = []

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        schedule = Schedule(jobs)
        while schedule:
            for event in schedule.refresh():
                on_event(event)
            while job := schedule.take(None, ()):
                state = "elsewhere" if self.held.get(job.key) else "done"
                if state == "done":
                    self.worked.append(job.key)
                event = Event("finished", job.key, "cpu", result={"state": state})
                schedule.end(event)
                on_event(event)

    def free(self, job: QueuedJob) -> bool:
        self.held[job.key] = max(0, self.held.get(job.key, 0) - 1)
        return not self.held[job.key]

    def finished_elsewhere(self, job: QueuedJob) -> dict[str, Any] | None:
        return {"state": self.ends[job.key], "worked": False} if job.key in self.ends else None


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PAUSE", 0.0)


def run(jobs: Sequence[QueuedJob], other: Other) -> list[Event]:
    events: list[Event] = []
    Sharing(other, other.free, other.finished_elsewhere).run(jobs, events.append)
    return [event for event in events if event.kind != "progress"]


def test_what_nobody_else_works_on_is_run():
    other = Other({}, {})
    assert [event.key for event in run([QueuedJob("a", {}), QueuedJob("b", {})], other)] == ["a", "b"] == other.worked


def test_what_another_runner_does_is_told_of_and_not_repeated():
    other = Other({"a": 3}, {"a": "done"})
    events = run([QueuedJob("a", {}), QueuedJob("b", {}), QueuedJob("c", {}, needs=("a",))], other)
    assert [(event.key, event.kind, event.result.get("worked", True)) for event in events] == [
        ("b", "finished", True), ("a", "finished", False), ("c", "finished", True),
    ]  # fmt: skip
    assert other.worked == ["b", "c"]


def test_what_another_runner_gives_up_is_run():
    other = Other({"a": 3}, {})
    events = run([QueuedJob("a", {}), QueuedJob("b", {}, needs=("a",))], other)
    assert [event.key for event in events] == ["a", "b"] == other.worked


def test_all_end_where_another_runner_does_all():
    other = Other({"a": 1, "b": 5}, {"a": "failed", "b": "done"})
    events = run([QueuedJob("a", {}), QueuedJob("b", {})], other)
    assert {event.key: event.result["state"] for event in events} == {"a": "failed", "b": "done"}
    assert other.worked == []
