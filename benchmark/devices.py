"""Which devices work on cells."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from petlir.benchmark.errors import PetlirError


@dataclass(frozen=True)
class WorkerSpec:
    """A worker to be: the device that it gets and its number of CPU threads."""

    device: str
    threads: int


def workers_on(device: str, workers: int | None) -> list[WorkerSpec]:
    """One worker a GPU; on a CPU one a core, each with one thread, so that results do not depend on their number.

    Args:
        device: `auto`, `cpu`, `cuda` (all GPUs) or `cuda:N`.
        workers: how many on the CPU or on each GPU, which they then share; None for one a core, one a GPU.
    """
    found = torch.cuda.device_count()
    names = [f"cuda:{n}" for n in range(found)]
    if device == "cpu" or (device == "auto" and not found):
        return [WorkerSpec("cpu", 1)] * (workers or len(os.sched_getaffinity(0)))
    chosen = names if device in ("auto", "cuda") else [name for name in names if name == device]
    if chosen:
        return [WorkerSpec(name, 1) for _ in range(workers or 1) for name in chosen]
    raise PetlirError(f"device {device!r} is not here; valid: {', '.join(['auto', 'cpu', *names])}")


def pick(device: str) -> str:
    """The one device for a piece of work."""
    return workers_on(device, 1)[0].device
