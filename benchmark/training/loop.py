"""The training loop: AdamW on the L1 loss, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor
from torch.nn import functional

from petlir.benchmark.costs import StepTimer
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.images.patches import Sampler
from petlir.benchmark.signals import deferred
from petlir.benchmark.training.adaptation import Adapted
from petlir.benchmark.writing import write_bytes

HALVINGS = (250 / 500, 400 / 500, 450 / 500, 475 / 500)
"""The points at which the AdaptIR paper halves the learning rate, as fractions of the budget (§4: 500 epochs)."""
CURVE_POINTS = 20
"""The number of points on a training curve.

Validation runs only at the last point, because it takes much longer than a training step.
"""

Batch = tuple[Tensor, Tensor]
"""Degraded and clean crops, N×3×H×W in [0, 1]."""
Point = dict[str, float | None]
"""A point of the training curve: step, learning rate, mean loss since the previous point, and, at the last point, the
validation PSNR in dB.
"""


class Diverged(ArithmeticError):
    """A loss or validation score that is not finite."""


@dataclass(frozen=True)
class Budget:
    """The training budget of a cell.

    Attributes:
        steps: optimiser steps.
        rate: AdamW's initial learning rate.
        precision: `float32`, or `bfloat16` / `float16` for autocast on a GPU.
        seed: seed of the dropout masks, combined with the number of the step.
        checkpoint_seconds: interval between checkpoints.
        parts: number of parts into which each batch is split; gradients are accumulated before the step.
    """

    steps: int
    rate: float
    precision: str = "float32"
    seed: int = 0
    checkpoint_seconds: float = 20.0
    parts: int = 1

    def rate_at(self, step: int) -> float:
        """Return the learning rate of `step`."""
        return float(self.rate * 0.5 ** sum(step >= share * self.steps for share in HALVINGS))

    @property
    def curve_steps(self) -> list[int]:
        """The steps after which a point is added to the curve, in order, including the last step."""
        return sorted({math.ceil(part * self.steps / CURVE_POINTS) for part in range(1, CURVE_POINTS + 1)})


@dataclass
class Fit:
    """The state of a training run.

    Attributes:
        timer: timer of the training steps, excluding the loading of batches.
        step: number of completed steps.
        curve: points recorded so far.
        seconds: duration of the steps, including waiting for batches.
        waiting: part of `seconds` spent waiting for batches.
        validation_seconds: duration of validation.
        losses: losses since the most recent point of the curve.
    """

    timer: StepTimer
    step: int = 0
    curve: list[Point] = field(default_factory=list)
    seconds: float = 0.0
    waiting: float = 0.0
    validation_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    @property
    def waiting_share(self) -> float:
        """The fraction of training time spent waiting for batches, in [0, 1]."""
        return self.waiting / self.seconds if self.seconds else 0.0


def fit(
    adapted: Adapted,
    sampler: Sampler,
    validate: Callable[[], float],
    budget: Budget,
    *,
    checkpoint: Path | None = None,
    report: Callable[[float, str], None] = lambda share, text: None,
    kept: Callable[[], None] = lambda: None,
) -> Fit:
    """Train the trainable parameters; on a termination signal, save the training state and exit.

    Args:
        adapted: the network; trained in place.
        sampler: supplies the batch of each step.
        validate: returns the mean validation PSNR in dB; called in evaluation mode after the last step.
        budget: steps and learning rate.
        checkpoint: file in which the training state is saved; training resumes from this file if it exists.
        report: receives the completed fraction and a text that states the mean loss at the newest point of the curve.
        kept: called each time a checkpoint has been saved.

    Raises:
        Diverged: the loss or the validation score is not finite; the message names the step.
    """
    optimizer = torch.optim.AdamW(adapted.trainable().values(), lr=budget.rate)
    scaler = torch.amp.GradScaler(enabled=budget.precision == "float16")
    state = _resume(adapted, optimizer, scaler, checkpoint)
    last, points = monotonic(), budget.curve_steps
    while True:
        if state.losses and state.step in points:
            _add_point(budget, state)
            report(state.step / budget.steps, f"loss {state.curve[-1]['loss']:.4f}")
        if state.step == budget.steps:
            adapted.eval()
            _validate(validate, budget, state)
            return state
        with deferred() as asked:  # a signal waits until the current step is completed and saved
            _step(adapted, sampler, optimizer, scaler, budget, state)
            due = asked.numbers or monotonic() - last > budget.checkpoint_seconds
            if checkpoint is not None and due:
                _keep(adapted, optimizer, scaler, state, budget.parts, checkpoint)
                kept()
                last = monotonic()


def split(batch: Batch, parts: int) -> list[tuple[float, Batch]]:
    """Split a batch into parts; return each with its fraction of the crops, which is the weight of its mean loss."""
    degraded, clean = (side.chunk(parts) for side in batch)
    return [(len(some) / len(batch[0]), (some, same)) for some, same in zip(degraded, clean, strict=True)]


def parts_of(checkpoint: Path | None) -> int:
    """Return the number of parts per batch in the run that saved a checkpoint, or 1 without a checkpoint."""
    if checkpoint is None or not checkpoint.exists():
        return 1
    return int(torch.load(checkpoint, weights_only=True).get("parts", 1))


def loss_of(adapted: Adapted, batch: Batch, precision: str = "float32") -> Tensor:
    """Return the L1 loss of a batch of degraded and clean crops in [0, 1]."""
    device = next(adapted.backbone.parameters()).device
    degraded, clean = (side.to(device, non_blocking=True) for side in batch)
    with torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32"):
        restored = adapted.backbone(degraded, adapted.head)
    return functional.l1_loss(restored.float(), clean)


def _step(
    adapted: Adapted,
    sampler: Sampler,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    budget: Budget,
    state: Fit,
) -> None:
    start = monotonic()
    torch.manual_seed(seed_of("step", budget.seed, state.step))  # so that dropout is the same after a restart
    for group in optimizer.param_groups:
        group["lr"] = budget.rate_at(state.step)
    adapted.train()
    loading = StepTimer()
    with loading:
        batch = sampler.batch(state.step)
    with state.timer:
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for share, part in split(batch, budget.parts):
            loss = share * loss_of(adapted, part, budget.precision)
            torch.autograd.backward(scaler.scale(loss))
            losses.append(loss.detach())
        scaler.step(optimizer)
        scaler.update()
    value = sum(loss.item() for loss in losses)
    if not math.isfinite(value):
        raise Diverged(f"the loss is {value} at step {state.step} of {budget.steps} (learning rate {budget.rate:g})")
    state.step += 1
    state.losses.append(value)
    state.waiting += sum(loading.seconds)
    state.seconds += monotonic() - start


def _add_point(budget: Budget, state: Fit) -> None:
    loss = sum(state.losses) / len(state.losses)
    rate = budget.rate_at(state.step - 1)  # the rate of the step just completed
    state.curve.append({"step": state.step, "learning_rate": rate, "loss": loss, "validation_psnr": None})
    state.losses = []


def _validate(validate: Callable[[], float], budget: Budget, state: Fit) -> None:
    start = monotonic()
    psnr = validate()
    if not math.isfinite(psnr):
        raise Diverged(f"the validation PSNR is {psnr} at step {state.step} of {budget.steps}")
    state.curve[-1]["validation_psnr"] = psnr
    state.validation_seconds += monotonic() - start


def _keep(
    adapted: Adapted,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    state: Fit,
    parts: int,
    checkpoint: Path,
) -> None:
    content: dict[str, object] = {
        "adapter": adapted.state(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
        "fit": {
            "step": state.step,
            "curve": state.curve,
            "seconds": state.seconds,
            "waiting": state.waiting,
            "validation_seconds": state.validation_seconds,
            "losses": state.losses,
        },
        "times": state.timer.seconds,
        "parts": parts,
    }
    buffer = BytesIO()
    torch.save(content, buffer)
    write_bytes(checkpoint, buffer.getvalue())


def _resume(
    adapted: Adapted, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, checkpoint: Path | None
) -> Fit:
    timer = StepTimer()
    if checkpoint is None or not checkpoint.exists():
        return Fit(timer)
    content = torch.load(checkpoint, weights_only=True)
    adapted.load(content["adapter"])
    optimizer.load_state_dict(content["optimizer"])
    scaler.load_state_dict(content["scaler"])
    timer.seconds = content["times"]
    return Fit(timer, **content["fit"])
