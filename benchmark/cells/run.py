"""The processing of a cell: build, adapt and train the network, evaluate it, and write the record."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import torch

from petlir.benchmark.cell import Cell
from petlir.benchmark.cells.adapted_model import AdaptedModel
from petlir.benchmark.cells.checkpoint import set_aside_damaged
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job
from petlir.benchmark.cells.kept_training import TRAINED, keep_training, load_training
from petlir.benchmark.cells.overlap_guard import overlaps_of, recorded
from petlir.benchmark.cells.stored_images import store_deep
from petlir.benchmark.cells.train import Report, Trained, trained
from petlir.benchmark.containment import contained
from petlir.benchmark.errors import FAULTS, PetlirError, Unwritable, told
from petlir.benchmark.images.prepare import shrunk_by_files
from petlir.benchmark.images.simulation import simulation
from petlir.benchmark.records import files as record_files
from petlir.benchmark.records.environment import environment
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.records.scores import tabulated
from petlir.benchmark.scoring import evaluate
from petlir.benchmark.scoring.fields_of_view import scored_as
from petlir.benchmark.store import CHECKPOINT, Store
from petlir.benchmark.track import track
from petlir.benchmark.training import loop
from petlir.benchmark.training.adaptation import Adapted, folded
from petlir.benchmark.writing import write_bytes, write_json


def run(job: Job, device: str, report: Report) -> Record:
    """Process a cell, write its record to the store, and return the record.

    Raises:
        Unwritable: the store is not writable; intermediate results stay in the cell's work folder.
    """
    choose_kernels(job.context)
    work = job.store.begin(job.key)
    started = monotonic()
    cell = requested(job.cell)
    record = blank(job, device, cell)
    try:
        cell["reference"] = job.context.plugins.method(job.cell.method).reference
        with contained():
            _work(job, device, work, record, cell, report)
        record["state"] = "done"
    except torch.cuda.OutOfMemoryError as error:
        record |= {"state": "out-of-memory", "reason": _line(error)}
    except Unwritable:
        raise
    except FAULTS as error:
        record |= {"state": "failed", "reason": reason(error)}
    report(1.0, f"{monotonic() - started:.0f} s")
    if record["state"] != "done" and (work / TRAINED).exists():  # the work folder is kept for the next attempt
        return _commit(record, job.store.begin(f"{job.key}.failed"), job)
    return _commit(record, work, job)


def _work(
    job: Job, device: str, work: Path, record: dict[str, object], cell: dict[str, object], report: Report
) -> None:
    """Train and score a cell, and fill in its record and the record's description of the cell."""
    set_aside_damaged(work / CHECKPOINT)
    one = load_training(job, device, work) or trained(
        job, device, work / CHECKPOINT, lambda share, text: report(0.8 * share, text)
    )
    keep_training(one, job, work)
    cell |= described(one.model, job.context.root) | {"accumulation": one.accumulation}
    record["overlap"] = recorded(overlaps_of(job.cell, job.context.plugins, one.model.card, job.context.root))
    required = _required(job)
    record |= _measured(one, job.context, work, job.store, sum(need.costs.training_seconds for need in required))
    if not job.cell.steps and required:  # a composition is a smoke run if a required cell is
        record["smoke"] = any(need.smoke for need in required)


def finished_result(job: Job) -> Record | None:
    """Return the record that another runner has written for this cell since the job was created, or None."""
    path = job.store.fetch(job.folder / record_files.RECORD, newest=True)
    try:
        record = record_files.read_record(path)
    except PetlirError:  # the record is missing, or damaged and will be replaced
        return None
    return record if record.key == job.key and record.finished != job.before else None


def leave(job: Job, state: str, reason: str) -> Record | None:
    """Write the record of a cell that was skipped or interrupted, and return the record.

    The checkpoint of the cell, if there is one, is kept. Return None if another runner is processing the cell or has
    finished it.
    """
    with job.store.leases.hold(job.key, str(job.cell)) as lease:
        if lease is None or finished_result(job) is not None:
            return None
        lease.done = state == "not-applicable"
        cell = requested(job.cell) | {"reference": job.context.plugins.method(job.cell.method).reference}
        record = blank(job, "none", cell) | {"state": state, "reason": reason}
        return _commit(record, job.store.begin(f"{job.key}.left"), job)


def _required(job: Job) -> list[Done]:
    """Read the records of the cells that the job's cell requires."""
    paths = (job.store.fetch(job.store.root / need / record_files.RECORD) for need in job.needs)
    return [record for path in paths if isinstance(record := record_files.read_record(path), Done)]


def _commit(record: dict[str, object], work: Path, job: Job) -> Record:
    record["finished"] = _now()
    for left in (CHECKPOINT, TRAINED):
        (work / left).unlink(missing_ok=True)
    write_json(work / record_files.RECORD, record)
    return job.store.commit(work, job.folder)


def choose_kernels(context: Context) -> None:
    """Restrict PyTorch to deterministic kernels, or let PyTorch choose among all kernels."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # needed for determinism of cuBLAS
    # equivalent to `use_deterministic_algorithms`, which would import the compiler and cost each worker seconds
    torch.set_deterministic_debug_mode("error" if context.deterministic else "default")
    torch.backends.cudnn.benchmark = not context.deterministic
    torch.backends.cudnn.allow_tf32 = False  # full float32 precision


def _measured(one: Trained, context: Context, work: Path, store: Store, required: float) -> dict[str, object]:
    """Return the measured fields of a record: scores, curve, costs and digests.

    Args:
        one: the adapted model after training.
        context: the plugins and images with which the cell is processed.
        work: the cell's work folder.
        store: the store, which holds the images that all cells of a task share.
        required: training time, in seconds, of the cells that this cell requires.
    """
    model, fitted, cell = one.model, one.fitted, one.model.cell
    started = monotonic()
    pairs = context.tests(cell.task, cell.track)
    data = evaluate.digest_of(pairs)
    shared = store.shared(cell, data)
    store_deep(pairs, shared)
    names = scored_as(model.task.protocols, model.views)
    scored = evaluate.evaluate(model.network, model.heads, pairs, names, work, shared)
    spent = one.spent | {"evaluation_seconds": monotonic() - started, **_inference(model)}
    spent["required_seconds"] = required
    adapter = _store_adapter(model.adapted, work) if model.adapted.state() else None
    return {
        "scores": tabulated(scored.rows),
        "curve": fitted.curve if fitted else [],
        "costs": spent,
        "digests": {
            "adapter": adapter,
            "predictions": scored.digest,
            "data": data,
            "weights": model.card.sha256,
        },
    }


def _inference(model: AdaptedModel) -> dict[str, object]:
    """Return inference times per output megapixel: before and, if all modules can be merged, after merging."""
    network, heads = model.network, model.heads
    plain = evaluate.seconds_per_megapixel(network, heads)
    with folded(network) as whole:
        merged = evaluate.seconds_per_megapixel(network, heads) if whole else None
    return {
        "merged": whole,
        "inference_seconds_per_megapixel": plain,
        "merged_inference_seconds_per_megapixel": merged,
    }


def _store_adapter(adapted: Adapted, work: Path) -> str:
    from safetensors.torch import save

    content = save(adapted.state())
    write_bytes(work / record_files.ADAPTER, content)
    return hashlib.sha256(content).hexdigest()


def described(model: AdaptedModel, root: Path | None) -> dict[str, object]:
    """Return the fields in which a record describes its cell beyond the names of the backbone, method and task."""
    task, on = model.task, model.cell.track
    files = ", ".join(shrunk_by_files(task, on, root))
    notes = (task.on(on).label, f"{record_files.SHIPPED_FILES} {files}" if files else "")
    return {
        "heads": list(model.heads),
        "protocols": list(scored_as(task.protocols, model.views)),
        "simulated": simulation(task, on),
        "data_label": "; ".join(filter(None, (*notes, model.network.input_note(model.heads[0])))),
        "degradation": "; ".join(str(one.degradation) for one in task.parts or (task,) if one.degradation),
        "transfer": model.card.transfer(task, on),
    }


def requested(cell: Cell) -> dict[str, object]:
    """Return the description of a cell for its record; values that are unknown before training have defaults."""
    plain = cell.to_dict()
    plain["learning_rate"] = plain.pop("rate")
    unknown = {"heads": [], "protocols": [], "simulated": "", "data_label": "", "degradation": "", "transfer": "unseen"}
    return plain | unknown


def blank(job: Job, device: str, cell: dict[str, object]) -> dict[str, object]:
    """Return a record that describes the cell and has no results yet."""
    context, now = job.context, _now()
    return {
        "schema": record_files.SCHEMA,
        "key": job.key,
        "state": "failed",
        "reason": None,
        "cell": cell,
        "key_components": dict(job.parts),
        "scores": [],
        "curve": [],
        "convergence": job.convergence and dict(job.convergence),
        "smoke": track(job.cell.track).too_brief(job.cell.steps),
        "overlap": None,
        "costs": {},
        "environment": environment(device, context.deterministic, torch.get_num_threads(), context.precision),
        "digests": {},
        "started": now,
        "finished": now,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def reason(error: BaseException) -> str:
    """Return the reason for a failure as one line, which includes the type of an unexpected exception."""
    return _line(error) if isinstance(error, (PetlirError, loop.Diverged)) else told(error)


def _line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
