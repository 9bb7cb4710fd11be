"""Training of an adapted model on its task; if memory runs out, training restarts with each batch split into parts.

Splitting batches keeps the effective batch size: the gradients of a batch's parts are summed before each optimiser
step. Batch statistics of split batches, however, are computed from fewer crops, which changes the result. The record
notes that batches were split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import torch

from petlir.benchmark import costs
from petlir.benchmark.cells.adapted_model import AdaptedModel, prepare, sampler
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.protocol import protocol
from petlir.benchmark.records.stored_forms import StoredCosts
from petlir.benchmark.restoration.restore import restore_each, to_image
from petlir.benchmark.scoring.psnr_ssim import psnr
from petlir.benchmark.training import loop
from petlir.benchmark.training.adaptation import folded

Report = Callable[[float, str], None]
"""A function that is called with the fraction of a cell that is done, in [0, 1], and a status text."""
T = TypeVar("T")

PARTS = 4
"""The number of parts into which a batch that does not fit into memory is split."""


@dataclass(frozen=True)
class Trained:
    """An adapted model after training.

    Attributes:
        model: the network, in evaluation mode.
        spent: the costs of training.
        fitted: the result of training, or None if the method trains nothing.
        parts: number of parts into which each batch was split.
    """

    model: AdaptedModel
    spent: StoredCosts
    fitted: loop.Fit | None
    parts: int

    @property
    def accumulation(self) -> dict[str, object] | None:
        """The record's entry on split batches, or None if batches were not split."""
        if self.parts == 1:
            return None
        return {"parts": self.parts, "batch_statistics": self.model.adapted.batch_statistics}


def trained(job: Job, device: str, checkpoint: Path, report: Report) -> Trained:
    """Train the cell's adapted model, continuing from the checkpoint if there is one.

    Raises:
        torch.cuda.OutOfMemoryError: memory ran out even with split batches.
        loop.Diverged: the loss is not a finite number.
    """
    return sparing(job, lambda parts: _attempt(job, device, checkpoint, report, parts), checkpoint)


def sparing(job: Job, attempt: Callable[[int], T], checkpoint: Path | None = None) -> T:
    """Call `attempt` with whole batches and, if memory runs out, again from the start with split batches.

    Args:
        job: the job, which states the batch size.
        attempt: called with the number of parts into which each batch is split.
        checkpoint: checkpoint of an earlier attempt, from which the number of parts is read; deleted if memory runs
            out.
    """
    parts = loop.parts_of(checkpoint)
    try:
        return attempt(parts)
    except torch.cuda.OutOfMemoryError:
        if parts > 1 or job.cell.batch_size == 1 or not job.cell.steps:
            raise
    # outside the `except` block, because the exception's traceback keeps the memory in use
    torch.cuda.empty_cache()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return attempt(min(PARTS, job.cell.batch_size))


def _attempt(job: Job, device: str, checkpoint: Path, report: Report, parts: int) -> Trained:
    model = prepare(job, device)
    spent = _counted(model, job.context, parts)
    fitted: loop.Fit | None = None
    on = next(model.network.parameters()).device
    with costs.Peak(on) as peak, costs.Energy(on) as energy:
        if model.method.trains:
            kept = partial(job.store.publish, checkpoint)
            fitted = fit(model, job.context, checkpoint, report, parts=parts, kept=kept)
    spent["memory"]["peak"] = peak.bytes
    step = fitted.timer.summary() if fitted else None
    spent |= {
        "step_seconds": asdict(step) if step else None,
        "adaptation_seconds": model.adaptation_seconds,
        "training_seconds": fitted.seconds if fitted else 0.0,
        "waiting_share": fitted.waiting_share if fitted else None,
        "validation_seconds": fitted.validation_seconds if fitted else 0.0,
        "energy_joules": energy.joules,
        "threads": torch.get_num_threads(),
        "exclusive": job.context.exclusive,
    }
    return Trained(model, spent, fitted, parts)


def fit(
    model: AdaptedModel,
    context: Context,
    checkpoint: Path | None = None,
    report: Report = lambda share, text: None,
    parts: int = 1,
    kept: Callable[[], None] = lambda: None,
) -> loop.Fit:
    """Train the adapted model on its task in place, or raise `loop.Diverged` if the loss is not a finite number."""
    cell, task = model.cell, model.task
    assert cell.rate is not None
    seed = seed_of("order", task.name, cell.seed)
    device = next(model.network.parameters()).device
    precision = context.precision if device.type == "cuda" else "float32"
    budget = loop.Budget(cell.steps, cell.rate, precision, seed, context.checkpoint_seconds, parts)
    shown = context.validation(cell.task, cell.track)
    rule = protocol(task.protocols[0])

    def validate() -> float:
        with folded(model.network):
            outputs = restore_each(model.network, (pair.degraded for pair in shown), model.heads)
            return fmean(psnr(to_image(output), pair.clean, rule) for output, pair in zip(outputs, shown, strict=True))

    batches = sampler(model.cell, context, device)
    return loop.fit(model.adapted, batches, validate, budget, checkpoint=checkpoint, report=report, kept=kept)


def _counted(model: AdaptedModel, context: Context, parts: int) -> StoredCosts:
    """Return the costs that can be counted before training; activation memory is counted for one part of a batch."""
    network = model.network
    size = costs.count(network)
    saved = flops = 0
    if model.method.trains:
        batch = loop.split(sampler(model.cell, context).batch(0), parts)
        model.adapted.train()

        def step(share: float, crops: loop.Batch) -> None:
            nonlocal flops
            flops += costs.flops_of_step(lambda: loop.loss_of(model.adapted, crops))

        with costs.undisturbed(network):
            held = [*network.parameters(), *network.buffers()]
            saved = max(costs.saved_for_backward_bytes(partial(step, *part), held) for part in batch)
    stored = sum(tensor.nbytes for tensor in model.adapted.state().values())
    return {
        "trainable": size.trainable,
        "stored_bytes": stored,
        "total": size.total,
        "saved_for_backward_bytes": saved,
        "flops_per_step": flops,
        "memory": asdict(costs.memory(network, saved, None)),
    }
