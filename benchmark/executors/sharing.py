"""Sharing of a store between runners: jobs in progress elsewhere are awaited, not repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from petlir.benchmark.executors import Event, Executor, QueuedJob
from petlir.benchmark.store.leases import ELSEWHERE

PAUSE = 2.0
"""Seconds between two polls of other runners' jobs."""


@dataclass(frozen=True)
class Sharing:
    """An executor that shares a store: jobs that another runner holds are reported when that runner finishes them.

    If that runner dies or releases a job, the job is run here.

    Attributes:
        executor: runs the jobs.
        free: returns whether a job is not leased.
        finished_elsewhere: returns the result of a job that another runner has finished, or None if it remains to be
            done.
    """

    executor: Executor
    free: Callable[[QueuedJob], bool]
    finished_elsewhere: Callable[[QueuedJob], Mapping[str, object] | None]

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        """Run all jobs, each after the jobs that it needs; see `petlir.benchmark.executors.Executor`."""
        left = list(jobs)
        while left:
            elsewhere: set[str] = set()

            def hear(event: Event, elsewhere: set[str] = elsewhere) -> None:
                if event.result.get("state") == ELSEWHERE or event.result.get("lost") in elsewhere:
                    elsewhere.add(event.key)
                    event = Event("progress", event.key, event.device, text="another runner is computing it")
                on_event(event)

            self.executor.run(left, hear)
            left = self._wait([job for job in left if job.key in elsewhere], on_event)

    def _wait(self, jobs: list[QueuedJob], on_event: Callable[[Event], None]) -> list[QueuedJob]:
        """Wait until one of the jobs can be run here, and return the jobs that other runners have not finished."""
        while jobs:
            names = {job.key for job in jobs}
            for job in [job for job in jobs if names.isdisjoint(job.needs) and self.free(job)]:
                result = self.finished_elsewhere(job)
                if result is None:
                    return jobs
                jobs.remove(job)
                on_event(Event("finished", job.key, fraction=1.0, result=result))
            if jobs:
                time.sleep(PAUSE)
        return jobs
