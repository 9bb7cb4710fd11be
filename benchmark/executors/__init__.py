"""Where jobs run: the contract that every executor keeps, and the order that jobs are handed out in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from typing import Literal, Protocol

from petlir.benchmark.errors import PetlirError

Report = Callable[[float, str], None]
"""What a job tells of itself: the fraction done in [0, 1], and a few words."""

Work = Callable[[dict[str, object], str, Report], dict[str, object]]
"""What runs a job: (packed, device, report) -> result, whose `state` says how it ended and `reason` why."""


@dataclass(frozen=True)
class QueuedJob:
    """A piece of work that is handed to a worker whole.

    Attributes:
        key: its name among all jobs.
        packed: what the work function gets, as plain JSON values.
        needs: keys of the jobs that must be done first; a key that is none of the jobs' counts as done.
        group: jobs of one group share data, so a worker that holds it already gets the next of them.
        memory: bytes of a device that it is predicted to need; 0 where that is not known.
    """

    key: str
    packed: Mapping[str, object]
    needs: tuple[str, ...] = ()
    group: str = ""
    memory: int = 0


@dataclass(frozen=True)
class Event:
    """What happens to a job.

    Attributes:
        kind: `started`, `progress`, `finished` (the work function returned), `died` (it raised, or its worker
            was killed) or `skipped` (a job that it needs was not done).
        key: the job.
        device: where it runs; empty where it never ran.
        fraction: how much of it is done, in [0, 1].
        text: a few words on what it does now, or the one line that says why it died or was skipped.
        result: what the work function returned; of a skipped job `lost`, the key of the job that was not done.
    """

    kind: Literal["started", "progress", "finished", "died", "skipped"]
    key: str
    device: str = ""
    fraction: float = 0.0
    text: str = ""
    result: Mapping[str, object] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether jobs that need this one may start."""
        return self.kind == "finished" and self.result.get("state") == "done"


class Executor(Protocol):
    """Runs jobs, wherever that is. No job is tried twice in one call."""

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        """Run all jobs, each after those that it needs; events are told in the caller's thread."""


class Schedule:
    """The jobs that are still to be handed out, in the order given as far as their needs allow.

    Raises:
        PetlirError: jobs need each other in a circle.
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
        """Whether any job has not ended."""
        return self._sorter.is_active()

    def take(self, held: str | None, elsewhere: Collection[str]) -> QueuedJob | None:
        """The next job for a worker that holds the data of group `held`; None where all wait for others.

        A group that no other worker holds (`elsewhere`) comes before one that is being worked on.
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
        """Note how a job ended."""
        if not event.done:
            self._lost.add(event.key)
        self._sorter.done(event.key)

    def refresh(self) -> Iterator[Event]:
        """Make ready what now can start; yields an event for each job that never will."""
        while fresh := self._sorter.get_ready():
            for key in fresh:
                lost = next((need for need in self._needs[key] if need in self._lost), None)
                if lost is None:
                    self._ready.append(self._jobs[key])
                else:
                    skipped = Event("skipped", key, text=f"needs {lost}, which was not done", result={"lost": lost})
                    self.end(skipped)
                    yield skipped


def resolve(work: str) -> Work:
    """The work function of a name `module:function`."""
    module, _, name = work.partition(":")
    function: Work = getattr(import_module(module), name)
    return function
