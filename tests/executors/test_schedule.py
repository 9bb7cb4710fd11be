from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.executors import Event, QueuedJob, Schedule


def drain(schedule: Schedule, states: dict[str, str]) -> list[Event]:
    events: list[Event] = []
    while schedule:
        events += schedule.refresh()
        while job := schedule.take(None, ()):
            ended = Event("finished", job.key, result={"state": states.get(job.key, "done")})
            schedule.end(ended)
            events.append(ended)
    return events


@given(st.lists(st.lists(st.integers(0, 20), max_size=3), max_size=20), st.sets(st.integers(0, 20)))
def test_every_job_ends_once_after_its_needs_and_skips_exactly_what_failures_reach(needs, failing):
    # A job may need earlier ones only, so the graph has no circle.
    graph = {str(i): {str(n) for n in row if n < i} for i, row in enumerate(needs)}
    jobs = [QueuedJob(key, {}, needs=tuple(sorted(row))) for key, row in graph.items()]
    events = drain(Schedule(jobs), {str(i): "failed" for i in failing})
    place = {event.key: position for position, event in enumerate(events)}
    assert len(place) == len(events) == len(jobs)
    lost: set[str] = set()
    for key, row in graph.items():
        assert all(place[need] < place[key] for need in row)
        if row & lost or int(key) in failing:
            lost.add(key)
        assert (events[place[key]].kind == "skipped") == bool(row & lost)


def test_without_needs_the_order_is_kept():
    assert [event.key for event in drain(Schedule([QueuedJob(key, {}) for key in "zebra"]), {})] == list("zebra")


def test_a_need_that_is_no_job_counts_as_done():
    assert [event.kind for event in drain(Schedule([QueuedJob("a", {}, needs=("elsewhere",))]), {})] == ["finished"]


def test_a_worker_gets_the_group_it_holds_then_one_that_nobody_holds():
    schedule = Schedule([QueuedJob(f"{group}{i}", {}, group=group) for i in range(2) for group in "xyz"])
    assert not list(schedule.refresh())
    taken = [schedule.take(None, ()), schedule.take(None, {"x"}), schedule.take("x", {"y"})]
    assert [job.key for job in taken if job] == ["x0", "y0", "x1"]
    fourth = schedule.take("x", {"y"})
    assert fourth and fourth.group == "z"


def test_a_circle_is_named():
    with pytest.raises(PetlirError, match=r"a -> b -> a|b -> a -> b"):
        Schedule([QueuedJob("a", {}, needs=("b",)), QueuedJob("b", {}, needs=("a",))])
