"""What a worker process does with a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from petlir.benchmark.cells import extra_metrics, learning_rate, run
from petlir.benchmark.cells.job import Payload, unpack
from petlir.benchmark.executors.sharing import ELSEWHERE
from petlir.benchmark.store.claims import Claim, Overtaken


def work(payload: dict[str, Any], device: str, report: Callable[[float, str], None]) -> dict[str, Any]:
    """Do one job, a `cell`, a `trial` of tuning or to `measure` a cell further, and say how it ended.

    Where another runner of the same store works on it, its state is `elsewhere`; where one has done it since the job
    was made, its state is that one's, and `worked` is false. `recorded` tells that this call has left a record.
    """
    job = unpack(payload)
    with job.store.claims.hold(name(job), str(job.cell)) as claim:
        if claim is None:
            return {"state": ELSEWHERE, "reason": "another runner works on it"}
        result = settled(job) or _do(job, device, claim, report)
        claim.done = result["state"] == "done"
        return result


def name(job: Payload) -> str:
    """What a job is claimed by."""
    return learning_rate.trial_name(job) if job.kind == "trial" else job.key


def settled(job: Payload) -> dict[str, Any] | None:
    """How another runner has ended the job since it was made; None where it is still to be done."""
    if job.kind in ("trial", "measure"):
        done = learning_rate.tried(job) if job.kind == "trial" else extra_metrics.measured(job)
        return {"state": "done", "reason": None, "worked": False} if done else None
    record = run.settled(job)
    return record and {"state": record["state"], "reason": record["reason"], "worked": False}


def _do(job: Payload, device: str, claim: Claim, report: Callable[[float, str], None]) -> dict[str, Any]:
    if job.kind == "trial":
        return learning_rate.trial(job, device)
    if job.kind == "measure":
        run.settle(job.bench)
        extra_metrics.measure(job, device)
        return {"state": "done", "reason": None}

    def told(share: float, text: str) -> None:
        if share == 1.0:  # the record is about to be written
            claim.overtaken()
        claim.tell(share, text)
        report(share, text)

    try:
        record = run.run(job, device, told)
    except Overtaken:
        return {"state": ELSEWHERE, "reason": "another runner took it over"}
    return {"state": record["state"], "reason": record["reason"], "recorded": True}
