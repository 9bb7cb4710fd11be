"""The local executor: one spawned process per worker, reused for many jobs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from os import _exit  # imported by name, because containment replaces `os._exit`
from types import ModuleType

from petlir.benchmark.devices import WorkerSpec
from petlir.benchmark.errors import Interruption, PetlirError
from petlir.benchmark.executors import Event, QueuedJob, Schedule, Work, resolve
from petlir.benchmark.signals import leave, terminated_as_exit

GRACE = 5.0
"""The seconds between SIGTERM and SIGKILL when a worker is terminated."""


@dataclass(frozen=True)
class LocalExecutor:
    """An executor that runs jobs in processes on this machine.

    A worker that is killed or runs out of memory loses only its own job and is replaced. No worker outlives the parent
    process: a parent that is interrupted or terminated stops its workers, and workers whose parent is killed exit by
    themselves.

    Attributes:
        work: the work function as `module:function`, so that only the workers import it.
        workers: specifications of the workers; no more workers are started than there are jobs.
        timeout: seconds after which a job's worker is terminated, whether or not it responds; if None, jobs have no
            time limit.
    """

    work: str
    workers: Sequence[WorkerSpec]
    timeout: float | None = None

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        """Run all jobs, each after the jobs that it needs; see `petlir.benchmark.executors.Executor`."""
        schedule = Schedule(jobs)
        workers = [_Worker(spec, self.work, self.timeout) for spec in self.workers[: len(jobs)]]
        with terminated_as_exit():
            try:
                happened: list[Event] = []
                while schedule or happened:
                    # hand out work before reporting events, so that no worker waits for the listener
                    happened += [*schedule.refresh(), *_hand_out(schedule, workers)]
                    for event in happened:
                        on_event(event)
                    happened = list(_listen(schedule, workers))
            finally:
                for worker in workers:
                    worker.terminate()
                for worker in workers:
                    worker.join()


def _hand_out(schedule: Schedule, workers: Sequence[_Worker]) -> Iterator[Event]:
    for worker in workers:
        if worker.job is None:
            elsewhere = {other.group for other in workers if other is not worker and other.group is not None}
            job = schedule.take(worker.group, elsewhere)
            if job is not None:
                worker.give(job)
                yield Event("started", job.key, worker.spec.device)


def _listen(schedule: Schedule, workers: Sequence[_Worker]) -> Iterator[Event]:
    busy = [worker for worker in workers if worker.job]
    if not busy:
        return
    left = max(0.0, min(worker.left for worker in busy))
    ready = set(wait([handle for worker in busy for handle in worker.handles()], None if left == inf else left))
    for worker in busy:
        if ready.intersection(worker.handles()) or worker.left <= 0:
            for event in worker.events():
                if event.kind in ("finished", "died"):
                    schedule.end(event)
                yield event


class _Worker:
    """A worker as seen from the parent process; a worker's process is replaced if it dies."""

    def __init__(self, spec: WorkerSpec, work: str, timeout: float | None) -> None:
        self.spec = spec
        self._timeout, self._since = timeout, 0.0
        self.job: QueuedJob | None = None
        self.group: str | None = None
        self._work = work
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._work, self.spec), daemon=True)
        with _nameless_main():
            self._process.start()
        theirs.close()

    def handles(self) -> list[Connection | int]:
        return [self._connection, self._process.sentinel]

    def give(self, job: QueuedJob) -> None:
        if not self._process.is_alive():
            self._replace()
        self.job, self.group, self._since = job, job.group, time.monotonic()
        with suppress(OSError):  # the sentinel reports a worker that dies at this moment
            self._connection.send((job.key, dict(job.packed)))

    @property
    def left(self) -> float:
        """The seconds that remain until the job's timeout, or infinity without a timeout."""
        return inf if self._timeout is None else self._since + self._timeout - time.monotonic()

    def events(self) -> Iterator[Event]:
        """Yield the worker's new events; if the worker has died, the last event reports its death."""
        try:
            while self.job and self._connection.poll():
                event: Event = self._connection.recv()
                if event.kind == "died":
                    self._replace()
                elif event.kind == "finished":
                    self.job = None
                yield event
        except (EOFError, OSError):
            self._process.join()
        if self.job and self.left <= 0 and self._process.is_alive():
            late = f"it took longer than --cell-timeout {self._timeout:g} s; "
            late += "with a longer timeout, it continues from its checkpoint"
            died = Event("died", self.job.key, self.spec.device, text=late)
            self.terminate()  # the worker saves its state
            self.join()
            self._replace()
            yield died
        elif self.job and not self._process.is_alive():
            cause = _cause_of_death(self._process.exitcode or 0)
            died = Event("died", self.job.key, self.spec.device, text=cause)
            self._replace()
            yield died

    def _replace(self) -> None:
        self._process.join()
        self._connection.close()
        self.job = self.group = None
        self._start()

    def terminate(self) -> None:
        if self._process.is_alive():
            self._process.terminate()

    def join(self) -> None:
        self._process.join(GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Prevent a spawned process from importing the main program, which workers do not need.

    If workers imported the main program, a script that calls `petlir.run` without a main guard would call `petlir.run`
    again in every worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _cause_of_death(code: int) -> str:
    if code >= 0:
        return f"its worker process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (possibly because the machine ran out of memory)" if -code == signal.SIGKILL else ""
    return f"its worker process was killed by {name}{hint}"


def _serve(connection: Connection, work: str, spec: WorkerSpec) -> None:
    """Run a worker: receive jobs, run them and report their results until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Torch reads these variables when it is imported, which happens together with the work function's module.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(spec.threads)
    function = resolve(work)
    while True:
        try:
            key, packed = connection.recv()
        except EOFError:
            return
        result = _do(function, packed, _Told(connection, key, spec.device))
        connection.send(Event("finished", key, spec.device, 1.0, result=result))


@dataclass(frozen=True)
class _Told:
    """The progress callback of a job, which sends events to the parent process."""

    connection: Connection
    key: str
    device: str

    def __call__(self, fraction: float, text: str) -> None:
        self.connection.send(Event("progress", self.key, self.device, fraction, text))


def _do(function: Work, packed: dict[str, object], told: _Told) -> dict[str, object]:
    try:
        return function(packed, told.device, told)
    except PetlirError as error:
        return {"state": "failed", "reason": str(error)}
    except Interruption:
        raise
    except BaseException as error:
        # A bug, or a plugin that ends the program: the worker exits with a traceback, the parent receives one line.
        cause = " ".join(str(error).split())
        told.connection.send(Event("died", told.key, told.device, text=f"{type(error).__name__}: {cause}"))
        raise


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
    _exit(1)
