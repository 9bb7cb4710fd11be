"""What a worker process does with a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmark import experiment, tuning
from benchmark.payload import unpack


def work(payload: dict[str, Any], device: str, report: Callable[[float, str], None]) -> dict[str, Any]:
    """Do one job, a `cell` or a `trial` of tuning, and say how it ended."""
    job = unpack(payload)
    if job.kind == "trial":
        return tuning.trial(job, device)
    record = experiment.run(job, device, report)
    return {"state": record["state"], "reason": record["reason"]}
