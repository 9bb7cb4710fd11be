"""Selection of the devices, CPU or GPUs, on which workers run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.errors import PetlirError


@dataclass(frozen=True)
class WorkerSpec:
    """The device and the number of CPU threads of a worker to be started."""

    device: str
    threads: int


def workers_on(device: str, workers: int | None) -> list[WorkerSpec]:
    """Return the workers to start, each with one thread, so that results do not depend on the number of workers.

    Args:
        device: `auto`, `cpu`, `cuda` (all GPUs) or `cuda:N`.
        workers: number of workers on the CPU or on each GPU; if None, one worker runs on each CPU core or GPU.
    """
    import torch  # deferred, because a worker sets its number of threads first

    found = torch.cuda.device_count()
    names = [f"cuda:{n}" for n in range(found)]
    if device == "cpu" or (device == "auto" and not found):
        return [WorkerSpec("cpu", 1)] * (workers or len(os.sched_getaffinity(0)))
    chosen = names if device in ("auto", "cuda") else [name for name in names if name == device]
    if chosen:
        return [WorkerSpec(name, 1) for _ in range(workers or 1) for name in chosen]
    raise PetlirError(f"device {device!r} is not available; valid: {', '.join(['auto', 'cpu', *names])}")


def pick(device: str) -> str:
    """Return the first of the devices that `device` selects, for a computation on a single device."""
    return workers_on(device, 1)[0].device


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one CPU thread inside the `with` block, as workers do, so that times measured in it apply to workers."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


CGROUP = Path("/sys/fs/cgroup/memory.max")
"""The file that states the memory limit of a container in bytes, or `max` if there is no limit."""


def memory() -> int:
    """Return the total memory, in bytes, of this machine or of the container in which the process runs."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        return min(machine, int(CGROUP.read_text()))
    return machine


def check_memory(name: str, needed: int) -> None:
    """Raise PetlirError if the image called `name` needs more memory than the machine has; `needed` is in bytes."""
    if needed > (there := memory()):
        gib = f"about {needed / 2**30:.1f} GiB of memory, but this machine has {there / 2**30:.1f} GiB"
        raise PetlirError(f"{name} needs {gib}; expected a smaller image")
