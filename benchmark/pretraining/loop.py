"""The training loop of all recipes (AdamW, L1 loss, warm-up, cosine decay, clipped gradients, exact resumption)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import TypedDict, cast

import torch
from torch import Tensor
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, load_strictly
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.writing import write_bytes

Batch = tuple[str, Tensor, Tensor]
"""A head, degraded N×3×P×P crops and clean N×3×sP×sP crops, both in [0, 1]."""
Batches = Callable[[int], Batch]
"""A function that returns the batch of a step and depends on the step alone, so that a killed run resumes exactly."""


@dataclass(frozen=True)
class Recipe:
    """The budget and data of a pre-training run.

    Attributes:
        name: training objective: `prod`, `self-supervised` or `multitask`.
        steps: number of optimiser steps.
        batch_size: crops per step.
        images: number of clean images of 256×256 pixels.
        rate: peak learning rate of AdamW, reached by a warm-up and decayed to a hundredth by a cosine schedule.
        warm_up: number of warm-up steps.
        seed: seed of images, crops, degradations and initial weights.
        source: `dead leaves`, or the name of a folder of photographs.
        without: heads or degradations of the recipe that are omitted and therefore count as unseen, joined by `, `.
    """

    name: str = "multitask"
    steps: int = 12_000
    batch_size: int = 8
    images: int = 400
    rate: float = 2e-3
    warm_up: int = 200
    seed: int = 0
    source: str = "dead leaves"
    without: str = ""

    def rate_at(self, step: int) -> float:
        """Return the learning rate of `step`."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def train(
    network: Backbone, batches: Batches, recipe: Recipe, checkpoint: Path, keep_every: int = 250
) -> Iterator[tuple[int, float]]:
    """Train `network` in place, and yield each step and its loss.

    Training resumes from `checkpoint` if it exists, and updates it every `keep_every` steps.

    Raises:
        PetlirError: the checkpoint belongs to another recipe, or the loss is not finite.
    """
    optimizer = torch.optim.AdamW(list(network.tunable(None)), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    for step in range(_resume(network, optimizer, recipe, checkpoint), recipe.steps):
        loss = _step(network, optimizer, batches(step), recipe.rate_at(step))
        if not math.isfinite(loss):
            raise PetlirError(
                f"the loss is {loss} at step {step + 1}; expected a finite number (learning rate {recipe.rate})"
            )
        if (step + 1) % keep_every == 0 or step + 1 == recipe.steps:
            _keep(network, optimizer, recipe, step + 1, checkpoint)
        yield step, loss


def _step(network: Backbone, optimizer: torch.optim.Optimizer, batch: Batch, rate: float) -> float:
    device = next(network.parameters()).device
    head, degraded, clean = batch
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = functional.l1_loss(network(degraded.to(device), head), clean.to(device))
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
    optimizer.step()
    return loss.item()


def _keep(network: Backbone, optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, checkpoint: Path) -> None:
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    content = BytesIO()
    torch.save(state | {"recipe": asdict(recipe)}, content)
    write_bytes(checkpoint, content.getvalue())


def _resume(network: Backbone, optimizer: torch.optim.Optimizer, recipe: Recipe, checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    state = _read(checkpoint)
    for option, value in asdict(recipe).items():
        if (found := state["recipe"].get(option)) != value:
            raise PetlirError(
                f"{checkpoint} belongs to a run with {option} {found}, expected {value}; delete it to start again"
            )
    load_strictly(network, state["network"], f"{checkpoint} holds a network other than {network.name}")
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


class _State(TypedDict):
    network: dict[str, Tensor]
    optimizer: dict[str, object]
    step: int
    recipe: dict[str, object]


def _read(checkpoint: Path) -> _State:
    try:
        state = torch.load(checkpoint, weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        raise PetlirError(f"{checkpoint} is not a checkpoint of pre-training; delete it to start again") from error
    if not isinstance(state, dict) or not {"network", "optimizer", "step", "recipe"} <= state.keys():
        raise PetlirError(f"{checkpoint} is not a checkpoint of pre-training; delete it to start again")
    return cast("_State", state)
