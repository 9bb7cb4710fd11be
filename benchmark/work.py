"""What a worker process does with a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmark import experiment, measuring, tuning
from benchmark.payload import unpack


def work(payload: dict[str, Any], device: str, report: Callable[[float, str], None]) -> dict[str, Any]:
    """Do one job, a `cell`, a `trial` of tuning or to `measure` a cell further, and say how it ended."""
    job = unpack(payload)
    if job.kind == "trial":
        return tuning.trial(job, device)
    if job.kind == "measure":
        experiment.settle(job.bench)
        measuring.measure(job, device)
        return {"state": "done", "reason": None}
    record = experiment.run(job, device, report)
    return {"state": record["state"], "reason": record["reason"]}
