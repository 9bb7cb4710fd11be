"""Tiny work functions that the tests of executors run in worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.executors import Report


def work(packed: dict[str, Any], device: str, report: Report) -> dict[str, Any]:
    """Do what `packed["do"]` asks for."""
    do = packed.get("do", "done")
    if do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "raise":
        raise ValueError("a bug\nin two lines")
    if do == "refuse":
        raise PetlirError("no such image")
    if do == "half":
        report(0.5, "step 1 of 2")
    if do == "sleep":
        Path(packed["pid_file"]).write_text(str(os.getpid()))
        time.sleep(60)
    state = "failed" if do == "fail" else "done"
    return {"state": state, "pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], "device": device}


def slow(packed: dict[str, Any], device: str, report: Report) -> dict[str, Any]:
    """Sleep for a moment, so that two workers overlap."""
    time.sleep(0.1)
    return {"state": "done", "pid": os.getpid()}


def torch_threads(packed: dict[str, Any], device: str, report: Report) -> dict[str, Any]:
    """Return the number of threads that torch uses in this process."""
    import torch

    return {"state": "done", "threads": torch.get_num_threads()}


class Ended(BaseException):
    """An exception that is not derived from `Exception`."""


def stubborn(packed: dict[str, Any], device: str, report: Report) -> dict[str, Any]:
    """Exit as `packed["do"]` says, or sleep; with `deaf`, ignore SIGTERM as well."""
    if packed["do"] == "base":
        raise Ended("in a plugin")
    if packed["do"] == "exit":
        raise SystemExit(3)
    if packed["do"] == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if packed["do"] in ("deaf", "sleep"):
        time.sleep(60)
    return {"state": "done"}
