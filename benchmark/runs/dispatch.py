"""Dispatch of cells to an executor until each cell has a record in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from petlir.benchmark.cells import run
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.extra_metrics import ExtraMetrics
from petlir.benchmark.cells.job import Job
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.executors import Event, Executor, QueuedJob
from petlir.benchmark.executors.progress import Progress
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.records.schema import Record
from petlir.benchmark.runs.planning.planned import Planned, state, with_needs
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index

Put = Callable[[Record], None]
"""A function called with each new record of this run as it arrives."""


def open_cells(planned: Iterable[Planned], index: Index) -> list[Planned]:
    """Return the cells without a result, each preceded by the cells that it requires."""
    return [one for one in with_needs(planned) if state(one, index) != "done"]


@dataclass(frozen=True)
class Dispatcher:
    """A dispatcher of cells to an executor.

    Attributes:
        context: plugins and images.
        store: the store for the records.
        executor: runs the jobs.
        memory: returns the predicted device memory of a cell in bytes; 0 if unknown.
    """

    context: Context
    store: Store
    executor: Executor
    memory: Callable[[Planned], int] = lambda one: 0

    def finish(self, planned: Sequence[Planned], put: Put = lambda record: None) -> int:
        """Process each cell that has no result yet, and return the number of new records."""
        index = Index.from_store(self.store)
        todo = {one.key: one for one in open_cells(planned, index)}
        jobs = {key: self.job(one, index) for key, one in todo.items()}
        made = 0
        for key, one in todo.items():
            if one.obstacle is not None:
                made += _leave(jobs.pop(key), "not-applicable", one.obstacle, put)
            elif one.fault is not None:
                made += _leave(jobs.pop(key), "failed", one.fault, put)
        return made + (self._work(todo, jobs, put) if jobs else 0)

    def _work(self, planned: Mapping[str, Planned], jobs: Mapping[str, Job], put: Put) -> int:
        """Run the jobs; record a failure for cells whose worker died or whose required cell has no result."""
        made = 0
        with Progress(len(jobs)) as progress:

            def on_event(event: Event) -> None:
                nonlocal made
                job = jobs[event.key]
                progress.update(event, str(job.cell))
                if event.kind == "died":
                    made += _leave(job, "failed", event.text, put)
                elif event.kind == "skipped":
                    lost = planned[str(event.result["lost"])].cell
                    made += _leave(job, "failed", f"it requires {lost}, which has no result", put)
                elif event.kind == "finished" and event.result.get("worked", True):
                    made += _found(job, event, put)

            self.executor.run([self._queued(planned[key], job) for key, job in jobs.items()], on_event)
        return made

    def job(self, one: Planned, index: Index) -> Job:
        """Return the job with which a worker computes a cell."""
        needs = tuple(need.folder(self.store).relative_to(self.store.root) for need in one.needs)
        head = index.find(one.key)
        before = head.finished if head else ""
        tested = None if one.convergence is None else one.convergence.to_dict()
        return Job("cell", one.cell, self.context, self.store, needs, one.parts, before=before, convergence=tested)

    def _queued(self, one: Planned, job: Job) -> QueuedJob:
        needs = tuple(need.key for need in one.needs)
        return QueuedJob(one.key, job.packed(), needs=needs, group=one.cell.task, memory=self.memory(one))


def _found(job: Job, event: Event, put: Put) -> int:
    """Read the record that a worker has written, and pass it to `put`."""
    if not event.result.get("recorded"):  # the store is not writable: every other cell would fail too
        raise PetlirError(str(event.result.get("reason")))
    put(read_record(job.store.fetch(job.folder / RECORD, newest=True)))
    return 1


def _leave(job: Job, state: str, reason: str, put: Put) -> int:
    record = run.leave(job, state, reason)
    if record is None:
        return 0
    put(record)
    return 1


def measure_extra(
    dispatcher: Dispatcher, planned: Sequence[Planned], extra_metrics: ExtraMetrics, put: Put
) -> list[tuple[str, str]]:
    """Compute missing metrics of finished cells; return the cells that could not be measured, with the reasons."""
    index = Index.from_store(dispatcher.store)
    done = {one.key: one for one in planned if one.obstacle is None and state(one, index) == "done"}
    plugins = dispatcher.context.plugins
    wanted = {key: extra_metrics.missing(_record(index, key), one.ids, plugins) for key, one in done.items()}
    jobs = [
        QueuedJob(key, replace(dispatcher.job(done[key], index), kind="measure", **asdict(lacks)).packed())
        for key, lacks in wanted.items()
        if lacks
    ]
    lost: list[tuple[str, str]] = []

    def on_event(event: Event) -> None:
        one = done[event.key]
        progress.update(event, f"{one.cell}, additional metrics")
        if event.done and event.result.get("worked", True):
            put(_record(index, event.key))
        elif not event.done and event.kind in ("finished", "died"):
            lost.append((str(one.cell), event.text or str(event.result.get("reason"))))

    if jobs:
        with Progress(len(jobs)) as progress:
            dispatcher.executor.run(jobs, on_event)
    return lost


def _record(index: Index, key: str) -> Record:
    head = index.find(key)
    assert head is not None
    return read_record(head.folder / RECORD)
