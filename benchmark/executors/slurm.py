"""The SLURM executor: jobs are submitted to a cluster's queue as job arrays, through submitit.

A job that ends without a result, because it was cancelled, preempted or timed out, is resubmitted and continues from
its checkpoint in the store. The state of jobs is read from `squeue` and from small JSON files next to the logs, because
there may be no accounting database, and because unpickling files written by a job would be unsafe.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.executors import Answer, Event, EventKind, QueuedJob, Result, Schedule, resolve
from petlir.benchmark.records.json_files import read_json
from petlir.benchmark.signals import leave, terminated_as_exit
from petlir.benchmark.writing import write_bytes

if TYPE_CHECKING:
    import submitit

OPTIONS: Mapping[str, str] = {
    "time": "time", "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint",
    "gpus": "gpus_per_node", "cpus": "cpus_per_task", "mem": "mem", "parallel": "array_parallelism",
}  # fmt: skip
"""Options of `--slurm` and their names in submitit."""
NUMBERS = ("time", "gpus", "cpus", "parallel")
TRIES = 3
"""The number of times in a row that a job may end without a result and without progress."""
PAUSE = 2.0
"""Seconds between two polls of the queue."""


def options(text: str) -> dict[str, object]:
    """Parse the options of `--slurm`, e.g. `time=60,partition=gpu,gpus=1`; the time is in minutes.

    Raises:
        PetlirError: an option is unknown, or its value is not a valid number or name.
    """
    found: dict[str, object] = {"time": 60, "cpus": 1}
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        if name not in OPTIONS:
            raise unknown("option of --slurm", name, OPTIONS)
        if not value or (name in NUMBERS and not (value.isdecimal() and int(value))):
            raise PetlirError(f"--slurm {item}: expected {name}={'a number above 0' if name in NUMBERS else 'a name'}")
        found[name] = int(value) if name in NUMBERS else value
    return found


@dataclass(frozen=True)
class SlurmProgram:
    """The program that runs a job on a node and writes the outcome to the file `answer` as JSON."""

    work: str
    packed: Mapping[str, object]
    device: str
    answer: str

    def __call__(self) -> None:
        """Run the job; on SIGTERM, save the state and exit without writing an answer."""
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # read when torch is imported, below
        # overrides submitit's handlers; SIGUSR2 warns up to a minute before the time limit, SIGTERM comes at the limit
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, leave)
        try:
            result = resolve(self.work)(dict(self.packed), self.device, self._tell)
        except PetlirError as error:
            result = {"state": "failed", "reason": str(error)}
        except Exception as error:
            # A bug: the log has its traceback, the runner receives one line.
            self._answer(died=f"{type(error).__name__}: {' '.join(str(error).split())}")
            raise
        self._answer(result=result)

    def _tell(self, share: float, text: str) -> None:
        self._answer(share=share, text=text)

    def _answer(self, **content: object) -> None:
        write_bytes(Path(self.answer), json.dumps(content).encode())


@dataclass
class _Sent:
    """A submitted job with its number in the queue, its progress, and the number of polls that did not list it."""

    job: QueuedJob
    answer: Path
    number: str = ""
    running: bool = False
    gone: int = 0
    tries: int = 0
    share: float = 0.0

    def event(self, kind: EventKind, *, fraction: float = 0.0, text: str = "", result: Result | None = None) -> Event:
        return Event(kind, self.job.key, f"slurm {self.number}", fraction, text, result or {})


@dataclass(frozen=True)
class SlurmExecutor:
    """An executor that runs jobs on a SLURM cluster and, when interrupted or terminated, cancels them.

    Attributes:
        work: the work function as `module:function`.
        folder: folder of logs and answers, which all nodes must be able to access.
        asked: SLURM options of the jobs, as returned by `options`.
    """

    work: str
    folder: Path
    asked: Mapping[str, object]

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        """Run all jobs, each after the jobs that it needs; see `petlir.benchmark.executors.Executor`.

        Raises:
            PetlirError: SLURM is not available or rejects the jobs.
        """
        schedule, sent = Schedule(jobs), list[_Sent]()
        with terminated_as_exit():
            try:
                while schedule:
                    happened = list(schedule.refresh())
                    fresh = [self._sent(job) for job in iter(lambda: schedule.take(None, ()), None)]
                    self._submit(fresh)
                    sent += fresh
                    happened += self._look(schedule, sent)
                    for event in happened:
                        on_event(event)
                    if not happened:
                        time.sleep(PAUSE)
            finally:
                if sent:
                    _call("scancel", *(one.number for one in sent))

    def _sent(self, job: QueuedJob) -> _Sent:
        return _Sent(job, self.folder / f"{hashlib.sha256(job.key.encode()).hexdigest()[:16]}.json")

    def _submit(self, fresh: Sequence[_Sent]) -> None:
        """Submit jobs; several jobs are submitted as one job array."""
        if not fresh:
            return
        device = "cuda" if self.asked.get("gpus") else "cpu"
        for one in fresh:
            one.answer.unlink(missing_ok=True)
        tasks = [SlurmProgram(self.work, one.job.packed, device, str(one.answer)) for one in fresh]
        for one, number in zip(fresh, self._queued(tasks), strict=True):
            one.number, one.running, one.gone = number, False, 0

    def _queued(self, tasks: Sequence[SlurmProgram]) -> list[str]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            return [entry.job_id for entry in self._queue.map_array(SlurmProgram.__call__, tasks)]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            line = next((line for line in str(error).splitlines() if "error:" in line), str(error).splitlines()[0])
            raise PetlirError(f"SLURM rejects the jobs: {line.strip()}") from error

    @cached_property
    def _queue(self) -> submitit.SlurmExecutor:
        import submitit

        queue = submitit.SlurmExecutor(folder=self.folder / "logs")
        queue.update_parameters(job_name="petlir", **{OPTIONS[name]: value for name, value in self.asked.items()})
        return queue

    def _look(self, schedule: Schedule, sent: list[_Sent]) -> Iterator[Event]:
        """Yield the new events, and resubmit jobs that ended without an answer."""
        answers, states = {one.job.key: _read(one.answer) for one in sent}, queued()
        again = []
        for one in list(sent):
            answer = answers[one.job.key]
            if "result" in answer or "died" in answer:
                yield self._end(one, answer, schedule, sent)
                continue
            if (share := answer.get("share", 0.0)) > one.share:
                one.share, one.tries = share, 0
                yield one.event("progress", fraction=one.share, text=answer["text"])
            state = None if states is None else states.get(one.number, "")
            one.gone = one.gone + 1 if state == "" else 0
            if state == "R" and not one.running:
                one.running = True
                yield one.event("started")
            if one.gone > 1:  # missing in two polls, because the answer may be delayed
                one.tries += 1
                if one.tries > TRIES:
                    logs = self.folder / "logs" / one.number
                    died = f"its SLURM job ended without a result {one.tries} times; logs of the last job: {logs}"
                    yield self._end(one, {"died": died}, schedule, sent)
                else:
                    again.append(one)
        self._submit(again)

    @staticmethod
    def _end(one: _Sent, answer: Answer, schedule: Schedule, sent: list[_Sent]) -> Event:
        if "result" in answer:
            event = one.event("finished", fraction=1.0, result=answer["result"])
        else:
            event = one.event("died", text=answer["died"])
        sent.remove(one)
        schedule.end(event)
        return event


def executor(work: str, store: Path, text: str) -> SlurmExecutor:
    """Check that SLURM jobs can be submitted, and return an executor that keeps its files in `store`.

    Raises:
        PetlirError: submitit or SLURM is not available, or an option is invalid.
    """
    from importlib.util import find_spec

    if find_spec("submitit") is None:
        raise PetlirError("--executor slurm needs submitit: pip install 'petlir[slurm]'")
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise PetlirError("--executor slurm needs a machine that can submit jobs; there is no sbatch or srun here")
    return SlurmExecutor(work, store.resolve() / "slurm", options(text))


def queued() -> dict[str, str] | None:
    """Return the user's SLURM jobs, as job number → state, or None if the SLURM controller does not respond."""
    done = _call("squeue", "--noheader", "--array", "--me", "--format=%i %t")
    if done is None or done.returncode:
        return None
    return dict(line.split() for line in done.stdout.splitlines())


def _call(*command: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _read(answer: Path) -> Answer:
    try:
        found: Answer = read_json(answer)
    except (OSError, ValueError):
        return {}
    return found
