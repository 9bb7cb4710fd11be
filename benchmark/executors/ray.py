"""The Ray executor: jobs are tasks of a Ray cluster, which starts each task on a node with enough CPUs and GPU memory.

A job whose node is lost or shut down is resubmitted, and continues from its checkpoint in the store. Ray decides where
and when jobs run. Jobs report their progress to a Ray actor.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError, Terminated
from petlir.benchmark.executors import Answer, Event, EventKind, QueuedJob, Result, Schedule, resolve
from petlir.benchmark.signals import terminated_as_exit

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

TRIES = 3
"""The number of times in a row that a job may lose its node without making progress."""
PAUSE = 1.0
"""The seconds between two polls of the jobs' progress."""
SHARES = (0.125, 0.25, 0.5, 1.0)
"""The fractions of a GPU that a job may reserve."""
START = "start one with `ray start --head`, or name one with --ray-address HOST:PORT"


class Mailbox:
    """An actor, reachable from all nodes, that keeps the latest message of each job until the message is fetched."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[float, str, str]] = {}

    def tell(self, key: str, share: float, text: str, node: str) -> None:
        """Keep a job's progress and node as the latest message of the job."""
        self._words[key] = (share, text, node)

    def take(self) -> dict[str, tuple[float, str, str]]:
        """Return all messages that have arrived since the last call."""
        words, self._words = self._words, {}
        return words


@dataclass(frozen=True)
class RayProgram:
    """The program that runs a job on a node.

    Attributes:
        work: the work function as `module:function`.
        device: `cpu`, or `cuda` for the single GPU that Ray makes visible.
        folder: the store's folder, which the node must be able to access, or None if the store has a URL.
        setting: environment variables for the job; variables that already exist on the node take precedence.
    """

    work: str
    device: str
    folder: Path | None
    setting: Mapping[str, str]

    def __call__(self, key: str, packed: dict[str, object], mailbox: ActorHandle) -> Answer:
        """Run the job; return `result`, or `lost` if the node was shut down, or `away` if it cannot read the store."""
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # read when torch is imported, below
        for name, value in self.setting.items():
            os.environ.setdefault(name, value)
        node = socket.gethostname()
        if self.folder is not None and not self.folder.is_dir():
            return {"away": node}
        mailbox.tell.remote(key, 0.0, "", node)
        try:
            return {"result": resolve(self.work)(packed, self.device, _Told(key, node, mailbox))}
        except PetlirError as error:
            return {"result": {"state": "failed", "reason": str(error)}}
        except Terminated:  # the job has saved its state
            return {"lost": node}


@dataclass(frozen=True)
class _Told:
    key: str
    node: str
    mailbox: ActorHandle

    def __call__(self, share: float, text: str) -> None:
        self.mailbox.tell.remote(self.key, share, text, self.node)


@dataclass
class _Sent:
    """A submitted job, its last node, its progress, and the number of nodes that it lost since its last progress."""

    job: QueuedJob
    node: str = ""
    share: float = 0.0
    tries: int = 0

    def event(self, kind: EventKind, *, fraction: float = 0.0, text: str = "", result: Result | None = None) -> Event:
        return Event(kind, self.job.key, f"ray {self.node}".strip(), fraction, text, result or {})


@dataclass(frozen=True)
class RayExecutor:
    """An executor that runs jobs on the Ray cluster to which this process is connected.

    Attributes:
        task: the program that runs a job on a node.
        memory: memory of the smallest GPU in bytes; 0 if jobs run on the CPU.
    """

    task: RayProgram
    memory: int = 0

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        """Run all jobs, each after the jobs that it needs; see `petlir.benchmark.executors.Executor`.

        Raises:
            PetlirError: a node cannot access the store.
        """
        import ray

        mailbox = ray.remote(Mailbox).options(num_cpus=0, max_restarts=-1).remote()
        schedule, sent, group = Schedule(jobs), dict["ObjectRef", _Sent](), ""
        # Ray reports failures on stdout, which is reserved for results
        with terminated_as_exit(), redirect_stdout(sys.stderr):
            try:
                while schedule:
                    happened = list(schedule.refresh())
                    while job := schedule.take(group, ()):  # jobs that share data follow each other
                        group = job.group
                        sent[self._submit(job, mailbox)] = _Sent(job)
                    happened += self._look(schedule, sent, mailbox)
                    for event in happened:
                        on_event(event)
            finally:
                for reference in sent:
                    ray.cancel(reference)
                if sent:  # let running jobs finish their step and release their leases
                    ray.wait(list(sent), num_returns=len(sent), timeout=5)
                ray.kill(mailbox)

    def _submit(self, job: QueuedJob, mailbox: ActorHandle) -> ObjectRef:
        import ray

        wanted = {"num_cpus": 1, **({"num_gpus": share_of(job.memory, self.memory)} if self.memory else {})}
        function = ray.remote(run_task).options(max_retries=0, name="petlir", **wanted)
        return function.remote(self.task, job.key, dict(job.packed), mailbox)

    def _look(self, schedule: Schedule, sent: dict[ObjectRef, _Sent], mailbox: ActorHandle) -> Iterator[Event]:
        """Yield the new events, and resubmit jobs that lost their node."""
        import ray

        if not sent:
            return
        ray.wait(list(sent), timeout=PAUSE)
        ended, _ = ray.wait(list(sent), num_returns=len(sent), timeout=0)
        yield from _progress({one.job.key: one for one in sent.values()}, mailbox)
        for reference in ended:
            one, answer = sent.pop(reference), _answer(reference)
            if "away" in answer:
                raise PetlirError(f"node {answer['away']} cannot access the store {self.task.folder}; expected a "
                                  "folder that all nodes share, or a URL")  # fmt: skip
            if "lost" in answer and one.tries < TRIES:
                one.tries += 1
                sent[self._submit(one.job, mailbox)] = one
                continue
            event = _ended(one, answer)
            schedule.end(event)
            yield event


def run_task(task: RayProgram, key: str, packed: dict[str, object], mailbox: ActorHandle) -> Answer:
    """Call `task`; this function is the Ray remote function of every job."""
    return task(key, packed, mailbox)


def _progress(sent: Mapping[str, _Sent], mailbox: ActorHandle) -> Iterator[Event]:
    import ray

    try:
        words = ray.get(mailbox.take.remote(), timeout=10)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):  # the actor is moving to another node
        return
    for key, (share, text, node) in words.items():
        if (one := sent.get(key)) is None:
            continue
        if node != one.node:
            one.node = node
            yield one.event("started")
        if share > one.share:
            one.share, one.tries = share, 0
        yield one.event("progress", fraction=share, text=text)


def _ended(one: _Sent, answer: Answer) -> Event:
    if "result" in answer:
        return one.event("finished", fraction=1.0, result=answer["result"])
    text = f"its node was lost {one.tries + 1} times" if "lost" in answer else answer["died"]
    return one.event("died", text=text)


def _answer(reference: ObjectRef) -> Answer:
    """Return a Ray task's answer: `lost` if its node is gone, or `died` with a one-line reason if the task failed."""
    import ray

    try:
        found: Answer = ray.get(reference)
    except (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError):
        return {"lost": True}
    except ray.exceptions.RayTaskError as error:
        return {"died": f"{type(error.cause).__name__}: {' '.join(str(error.cause).split())}"}
    except ray.exceptions.OutOfMemoryError:
        return {"died": "its worker was killed, because its node ran out of memory"}
    except ray.exceptions.RayError as error:
        return {"died": " ".join(str(error).split(".")[0].split())}
    return found


def share_of(needed: int, total: int) -> float:
    """Return the fraction of a GPU with `total` bytes that a job of `needed` bytes reserves; 1 if `needed` is 0."""
    return next((share for share in SHARES if 0 < needed <= share * total), 1.0)


def executor(work: str, store: Path | None, address: str, device: str) -> RayExecutor:
    """Connect to a Ray cluster, check that it can run jobs, and return an executor whose jobs use `store`.

    Args:
        work: the work function as `module:function`.
        store: the store's folder, or None if the store has a URL.
        address: address of the Ray cluster; if empty, the address in RAY_ADDRESS, or else the cluster on this machine.
        device: `auto`, `cpu` or `cuda`; `auto` uses GPUs if the cluster has any.

    Raises:
        PetlirError: ray is not installed, the device is not one of these, the cluster does not respond, or a GPU is
            requested but the cluster has none.
    """
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise PetlirError("--executor ray needs ray: pip install 'petlir[ray]'")
    if device not in ("auto", "cpu", "cuda"):
        raise PetlirError(f"--device {device}: expected auto, cpu or cuda with --executor ray")
    _connect(address)
    memory = 0 if device == "cpu" else _gpu_memory()
    if device == "cuda" and not memory:
        place = address or os.environ.get("RAY_ADDRESS") or "here"
        raise PetlirError(f"the Ray cluster {place} has no GPU; expected a GPU, or --device cpu")
    setting = {name: value for name, value in os.environ.items() if name.startswith("PETLIR_")}
    return RayExecutor(RayProgram(work, "cuda" if memory else "cpu", store, setting), memory)


def _connect(address: str) -> None:
    import ray

    where = address or os.environ.get("RAY_ADDRESS", "") or "auto"
    host, colon, port = where.removeprefix("ray://").rpartition(":")
    try:
        if colon:  # fail early, because Ray itself keeps trying for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        if not ray.is_initialized():
            ray.init(address=where, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        told = f"the Ray cluster {where} does not answer ({line})" if colon else "no Ray cluster is running here"
        raise PetlirError(f"{told}; {START}") from error


def _gpu_memory() -> int:
    """Return the memory in bytes of the smallest GPU in the cluster, or 0 if the cluster has no GPU."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    probe = ray.remote(_memory_here)
    asked = [probe.options(num_cpus=0, num_gpus=0.01, scheduling_strategy=On(node, soft=False)) for node in nodes]
    return min(ray.get([one.remote() for one in asked]), default=0)


def _memory_here() -> int:
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)
