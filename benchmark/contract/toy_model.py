"""A small network for trying a method repeatedly from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.dat import DAT
from petlir.benchmark.backbones.edt import EDT
from petlir.benchmark.backbones.ipt import IPT
from petlir.benchmark.backbones.nafnet import NAFNet
from petlir.benchmark.backbones.restormer import Restormer
from petlir.benchmark.cell import Cell, Chosen
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.method import Method, PriorResults
from petlir.benchmark.training.adaptation import Adapted, adapt

TASK = "trial"
"""The task on which a method is tried."""
STEPS = 3
"""Optimiser steps; a parameter after two zero-initialised layers gets its first gradient in the third step."""
CLOSE = 1e-5
"""Tolerance for equal outputs, as a share of their largest magnitude."""


def apart(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, as a share of the largest magnitude."""
    return float((one - other).abs().max() / other.abs().max())


def tiny() -> IPT:
    """Return a seeded IPT with about 30,000 weights, 12×12 windows and two heads."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return IPT.small()


def alive(builder: Callable[[], Backbone], seed: int = 0) -> Backbone:
    """Return the seeded network with small random values for zero-initialised weights, which would hide effects."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = builder()
        for parameter in network.tunable(None):
            if not parameter.any():
                parameter.normal_(0, 0.1)
    return network


SMALL: Mapping[str, Callable[[], Backbone]] = {
    "ipt": tiny,
    **{family.__name__.lower(): partial(alive, family.small) for family in (EDT, DAT, NAFNet, Restormer)},
}
"""The small network of each built-in family."""

Stored = Mapping[str, Tensor]
"""A method's stored tensors, by name."""


@dataclass(frozen=True)
class Asked(Cell):
    """A cell that holds the method itself, which may not be registered by name."""

    chosen: Method | None = None

    def of(self, method: Chosen, task: str | None = None) -> Asked:
        """Return the cell of another method, optionally on another task."""
        assert isinstance(method, Method)
        return replace(self, method=method.name, options=method.options(), task=task or self.task, chosen=method)


class ToyTrial:
    """A method with new networks of equal weights.

    Required cells are trained for a few steps on synthetic images of each task.

    Args:
        method: the method to check.
        build: builder of a small network.
    """

    def __init__(self, method: Method, build: Callable[[], Backbone]) -> None:
        self.method, self._build = method, build
        first = build()
        self._weights = {name: tensor.clone() for name, tensor in first.state_dict().items()}
        self.head = min(first.heads, key=lambda name: first.heads[name])
        self._side, self._scale = first.window or 16, first.heads[self.head]
        self._finished: dict[tuple[Method, str, int], Stored] = {}
        self.images, self.clean = self.batch(TASK, 0)

    @cached_property
    def obstacle(self) -> str | None:
        """The reason why the method does not support the network, or None."""
        return self.method.supports(self.network())

    def network(self) -> Backbone:
        """Return a new network."""
        network = self._build()
        network.load_state_dict(self._weights)
        return network.eval()

    def batch(self, task: str, index: int, seed: int = 1) -> tuple[Tensor, Tensor]:
        """Return synthetic images and their targets; each image has its own brightness."""
        numbers = torch.Generator().manual_seed(seed_of(task, index, seed))
        images = torch.rand(2, 3, self._side, self._side, generator=numbers)
        clean = torch.rand(2, 3, self._side * self._scale, self._side * self._scale, generator=numbers)
        return images * torch.rand(2, 1, 1, 1, generator=numbers), clean

    def adapted(self, seed: int = 1, method: Method | None = None, stored: Stored | None = None) -> Adapted:
        """Return a new network with the method, or a variant of it, applied.

        Args:
            seed: seed of initial weights, including those of the required cells.
            method: a variant to use instead of the trial's method.
            stored: the method's stored tensors to load again, without the required cells.
        """
        return self.put_on(self.network(), seed, method, stored)

    def put_on(
        self, network: Backbone, seed: int = 1, method: Method | None = None, stored: Stored | None = None
    ) -> Adapted:
        """Apply the method, or a variant of it, to `network`; see `adapted`."""
        chosen = method or self.method
        return adapt(network, chosen, self.head, seed, self._prior(chosen, TASK, seed, stored))

    def _prior(self, method: Method, task: str, seed: int, stored: Stored | None = None) -> PriorResults:
        asked = Asked("small", method.name, {}, "", task, "demo", seed, "tuned", None, STEPS, 2, self._side)
        needs = [] if stored is not None else method.requires(asked)
        adapters = tuple(self._trained_before(need, seed) for need in needs)
        heads = (self.head,) * len(method.requires(asked))
        batch = partial(self.batch, seed=seed)
        return PriorResults(adapters, batch, task, self.head, stored, self._validation, heads=heads)

    def _validation(self) -> list[tuple[Tensor, Tensor]]:
        return [(image[None], clean[None]) for image, clean in zip(self.images, self.clean, strict=True)]

    def _trained_before(self, need: Cell, seed: int) -> Stored:
        """Return the stored tensors of a required cell."""
        assert isinstance(need, Asked) and need.chosen is not None
        key = need.chosen, need.task, seed
        if key not in self._finished:
            prior = self._prior(need.chosen, need.task, seed)
            adapted = adapt(self.network(), need.chosen, self.head, seed, prior)
            self.train(adapted, need.task, seed)
            self._finished[key] = adapted.state()
        return self._finished[key]

    @torch.no_grad()
    def output(self, network: Backbone) -> Tensor:
        """Return the output of `network` for the images, in evaluation mode."""
        output: Tensor = network.eval()(self.images, self.head)
        return output

    @cached_property
    def trained(self) -> tuple[Adapted, set[str]]:
        """The method after a few steps, and the names of the parameters that received a gradient."""
        adapted = self.adapted()
        return adapted, self.train(adapted)

    def train(self, adapted: Adapted, task: str = TASK, seed: int = 1, *, mixed: bool = False) -> set[str]:
        """Train a few steps, optionally in mixed precision, and return the names of parameters that got a gradient."""
        reached: set[str] = set()
        trainable = adapted.trainable()
        if not trainable:
            return reached
        images, clean = self.batch(task, 0, seed)
        optimizer = torch.optim.AdamW(trainable.values(), lr=1e-2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            adapted.train()
            for _ in range(STEPS):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    output = adapted.backbone(images, self.head)
                torch.autograd.backward(functional.l1_loss(output.float(), clean))
                reached |= {name for name, p in trainable.items() if p.grad is not None and p.grad.any()}
                optimizer.step()
        return reached
