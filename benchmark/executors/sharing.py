"""Sharing of a store between runners: a runner waits for jobs that another runner is computing."""

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
    """An executor that shares a store with other runners, and reports a job of another runner when the job ends.

    If another runner dies or releases a job, this executor runs the job.

    Attributes:
        executor: the executor that runs the jobs of this runner.
        free: function that returns True if no runner has leased the job.
        finished_elsewhere: function that returns the result of a job that another runner has finished, or None if no
            runner has finished the job.
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
        """Wait until this runner can run one of the jobs, and return the jobs that other runners have not finished."""
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
