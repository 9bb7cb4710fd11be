"""The interface of executors, which run jobs, and the schedule from which executors take the next job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from typing import Literal, Protocol, TypedDict

from petlir.benchmark.errors import PetlirError

Report = Callable[[float, str], None]
"""A job's progress callback: called with the fraction done in [0, 1] and a status text."""

Result = Mapping[str, object]
"""The result of a work function, as returned by the executor."""

EventKind = Literal["started", "progress", "finished", "died", "skipped"]

Work = Callable[[dict[str, object], str, Report], dict[str, object]]
"""A work function: (packed, device, report) → result, which contains the job's final `state` and its `reason`."""


class Answer(TypedDict, total=False):
    """The latest report from a job that runs on another machine.

    Attributes:
        share: fraction done.
        text: status text.
        result: the work function's result.
        died: the one-line reason why the job failed.
        lost: present if the job's node was shut down.
        away: the name of a node that cannot access the store.
    """

    share: float
    text: str
    result: Mapping[str, object]
    died: str
    lost: object
    away: str


@dataclass(frozen=True)
class QueuedJob:
    """An indivisible unit of work for a worker.

    Attributes:
        key: unique name of the job.
        packed: the work function's input, as plain JSON values.
        needs: keys of the jobs that must finish first; a key that belongs to no job counts as finished.
        group: name of a group of jobs that share data; a worker that has loaded the data gets the group's next job.
        memory: predicted device memory in bytes; 0 if unknown.
    """

    key: str
    packed: Mapping[str, object]
    needs: tuple[str, ...] = ()
    group: str = ""
    memory: int = 0


@dataclass(frozen=True)
class Event:
    """A change in the state of a job.

    Attributes:
        kind: `started`, `progress`, `finished` (the work function returned), `died` (the work function raised an
            exception, or the worker was killed) or `skipped` (a required job has no result).
        key: key of the job.
        device: device of the job; empty if the job never ran.
        fraction: fraction done, in [0, 1].
        text: status text, or the one-line reason why the job died or was skipped.
        result: return value of the work function; for a skipped job, `lost`: the key of the required job that has no
            result.
    """

    kind: EventKind
    key: str
    device: str = ""
    fraction: float = 0.0
    text: str = ""
    result: Result = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """True if the job has ended successfully, so that jobs that need its result may start."""
        return self.kind == "finished" and self.result.get("state") == "done"


class Executor(Protocol):
    """An environment that runs jobs; one call of `run` runs each job at most once."""

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        """Run all jobs, each after the jobs that it needs; events are reported in the caller's thread."""


class Schedule:
    """The jobs that no worker has started yet, in the given order unless dependencies require another order.

    Raises:
        PetlirError: the dependencies between jobs form a cycle.
    """

    def __init__(self, jobs: Sequence[QueuedJob]) -> None:
        self._jobs = {job.key: job for job in jobs}
        self._place = {job.key: place for place, job in enumerate(jobs)}
        self._needs = {job.key: [need for need in job.needs if need in self._jobs] for job in jobs}
        self._sorter = TopologicalSorter(self._needs)
        self._ready: list[QueuedJob] = []
        self._lost: set[str] = set()
        try:
            self._sorter.prepare()
        except CycleError as error:
            raise PetlirError(f"these cells need each other: {' -> '.join(error.args[1])}") from error

    def __bool__(self) -> bool:
        """Return True while some jobs have not ended."""
        return self._sorter.is_active()

    def take(self, held: str | None, elsewhere: Collection[str]) -> QueuedJob | None:
        """Return the next job for a worker that has loaded the data of group `held`, or None if no job is ready.

        Jobs of the groups in `elsewhere`, whose data other workers have loaded, come after jobs of all other groups.
        """
        if not self._ready:
            return None
        job = min(
            self._ready,
            key=lambda job: (job.group != held, job.group in elsewhere, self._place[job.key]),
        )
        self._ready.remove(job)
        return job

    def end(self, event: Event) -> None:
        """Register the end of a job."""
        if not event.done:
            self._lost.add(event.key)
        self._sorter.done(event.key)

    def refresh(self) -> Iterator[Event]:
        """Mark the jobs that can now start as ready, and yield a `skipped` event for each job that can never start."""
        while fresh := self._sorter.get_ready():
            for key in fresh:
                lost = next((need for need in self._needs[key] if need in self._lost), None)
                if lost is None:
                    self._ready.append(self._jobs[key])
                else:
                    skipped = Event(
                        "skipped", key, text=f"requires {lost}, which did not finish", result={"lost": lost}
                    )
                    self.end(skipped)
                    yield skipped


def resolve(work: str) -> Work:
    """Return the work function named `module:function`."""
    module, _, name = work.partition(":")
    function: Work = getattr(import_module(module), name)
    return function
