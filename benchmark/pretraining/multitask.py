"""Multi-task pre-training as IPT's (Chen et al., CVPR 2021, §3.2): each batch one task, one shared body.

The photographs of ImageNet are replaced by dead leaves images, which need no download and no licence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmark.backbones.ipt import IPT
from benchmark.degradation import Degradation, Image
from benchmark.degradations.noise import GaussianNoise
from benchmark.degradations.rain import RainStreaks
from benchmark.degradations.resize import Bicubic
from benchmark.images.patches import PatchSampler
from benchmark.images.procedural import leaves
from benchmark.pretraining.start import pass_through

FIRST_IMAGE = 1_000_000
"""Procedural images are numbered; those of pre-training stand far from those of the tasks."""


@dataclass(frozen=True)
class Recipe:
    """How long and on what a network is pre-trained.

    Attributes:
        steps: optimiser steps over all tasks.
        batch_size: 48×48 crops a step.
        images: dead leaves images of 256×256.
        rate: the highest learning rate of AdamW; warmed up, then a cosine to a hundredth.
        warm_up: steps of the warm-up.
        seed: of images, crops and initial weights.
    """

    steps: int = 12_000
    batch_size: int = 8
    images: int = 400
    rate: float = 2e-3
    warm_up: int = 200
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of `step`."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


DEGRADATIONS: dict[str, tuple[Degradation, ...]] = {
    "sr_x2": (Bicubic(2),),
    "sr_x3": (Bicubic(3),),
    "sr_x4": (Bicubic(4),),
    "derain": (RainStreaks("light"), RainStreaks("heavy")),
    "denoise_30": (GaussianNoise(30),),
    "denoise_50": (GaussianNoise(50),),
}
"""What each of IPT's six heads learns to undo."""


def samplers(network: IPT, recipe: Recipe) -> dict[str, PatchSampler]:
    """The training batches of each head of `network`."""
    images = [leaves(FIRST_IMAGE + recipe.seed * recipe.images + n, 256) for n in range(recipe.images)]
    return {
        head: PatchSampler(
            [pair for kind in DEGRADATIONS[head] for pair in _pairs(images, kind, recipe.seed)],
            scale=scale,
            patch=network.config.window,
            batch_size=recipe.batch_size,
            perturb=DEGRADATIONS[head][0],
            seed=recipe.seed,
        )
        for head, scale in network.heads.items()
    }


def _pairs(images: list[Image], degradation: Degradation, seed: int) -> Iterator[tuple[Image, Image]]:
    factor = degradation.factor
    for number, image in enumerate(images):
        side = image.shape[0] // factor * factor
        clean = image[:side, :side]
        yield degradation.prepare(clean, np.random.default_rng([seed, number])), clean


def pretrain(network: IPT, recipe: Recipe, checkpoint: Path, keep_every: int = 250) -> Iterator[tuple[int, float]]:
    """Train `network` in place; yields each step and its loss.

    It continues from `checkpoint` where there is one, and renews it every `keep_every` steps.
    """
    torch.manual_seed(recipe.seed)
    pass_through(network)
    optimizer = torch.optim.AdamW(list(network.tunable(None)), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    start = _resume(network, optimizer, checkpoint)
    batches = samplers(network, recipe)
    heads = list(batches)
    device = next(network.parameters()).device
    for step in range(start, recipe.steps):
        head = heads[step % len(heads)]
        degraded, clean = (side.to(device) for side in batches[head].batch(step))
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at(step)
        loss = functional.l1_loss(network(degraded, head), clean)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        if (step + 1) % keep_every == 0 or step + 1 == recipe.steps:
            _keep(network, optimizer, step + 1, checkpoint)
        yield step, loss.item()


def _keep(network: IPT, optimizer: torch.optim.Optimizer, step: int, checkpoint: Path) -> None:
    temporary = checkpoint.with_suffix(".part")
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, temporary)
    temporary.replace(checkpoint)


def _resume(network: IPT, optimizer: torch.optim.Optimizer, checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
