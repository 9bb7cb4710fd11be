"""The handling of a job by a worker process."""

from __future__ import annotations

from collections.abc import Callable

from petlir.benchmark.cells import extra_metrics, learning_rate, run
from petlir.benchmark.cells.job import Job, unpack
from petlir.benchmark.containment import contained
from petlir.benchmark.store.leases import ELSEWHERE, Lease, LeaseLost


def work(packed: dict[str, object], device: str, report: Callable[[float, str], None]) -> dict[str, object]:
    """Run one job (a `cell`, a tuning `trial` or a `measure` of extra metrics) and return its outcome.

    The outcome's state is `elsewhere` if another runner of the same store is processing the job. If another runner has
    finished the job since the job was created, the state is that of the existing result, and the entry `worked` is
    false. The entry `recorded` of the outcome is true if this call has written a record.
    """
    job = unpack(packed)
    with job.store.leases.hold(name(job), str(job.cell)) as lease:
        if lease is None:
            return {"state": ELSEWHERE, "reason": "another runner is computing it"}
        result = finished_elsewhere(job) or _do(job, device, lease, report)
        lease.done = result["state"] == "done"
        return result


def name(job: Job) -> str:
    """Return the name of a job's lease."""
    return learning_rate.trial_name(job) if job.kind == "trial" else job.key


def finished_elsewhere(job: Job) -> dict[str, object] | None:
    """Return the result of a job that another runner has finished since the job was created, or None."""
    if job.kind in ("trial", "measure"):
        done = learning_rate.tried(job) if job.kind == "trial" else extra_metrics.measured(job)
        return {"state": "done", "reason": None, "worked": False} if done else None
    record = run.finished_result(job)
    return {"state": record.state, "reason": record.reason, "worked": False} if record else None


def _do(job: Job, device: str, lease: Lease, report: Callable[[float, str], None]) -> dict[str, object]:
    if job.kind == "trial":
        return learning_rate.trial(job, device)
    if job.kind == "measure":
        run.choose_kernels(job.context)
        with contained():
            extra_metrics.measure(job, device)
        return {"state": "done", "reason": None}

    def told(share: float, text: str) -> None:
        if share == 1.0:  # before the record is written
            lease.check_lost()
        lease.tell(share, text)
        report(share, text)

    try:
        record = run.run(job, device, told)
    except LeaseLost:
        return {"state": ELSEWHERE, "reason": "another runner took it over"}
    return {"state": record.state, "reason": record.reason, "recorded": True}
