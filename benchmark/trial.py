"""A small network to try a method on, again and again from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.adaptation import Adapted, adapt
from benchmark.backbone import Backbone
from benchmark.backbones import build
from benchmark.backbones.edt import EDT, EDTConfig
from benchmark.backbones.ipt import IPT, IPTConfig
from benchmark.method import Method

STEPS = 3
"""Optimiser steps; what stands behind two layers that start at zero gets its first gradient in the third."""


def tiny() -> IPT:
    """An IPT of some 30,000 seeded weights, 12×12 windows, with two heads."""
    config = IPTConfig(features=4, layers=1, attention_heads=2, expansion=2, patch=3, window=12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return IPT("ipt-tiny", config, {"sr_x2": 2, "denoise_30": 1})


def alive(builder: Callable[[], Backbone]) -> Backbone:
    """The network, seeded, with small numbers for weights that start at zero: nothing behind a zero would ever act."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = builder()
        for parameter in network.tunable(None):
            if not parameter.any():
                parameter.normal_(0, 0.1)
    return network


TINY_EDT = EDTConfig(features=4, width=24, stages=1, depth=3, attention_heads=2, window=(2, 4))
SMALL: Mapping[str, Callable[[], Backbone]] = {
    "ipt": tiny,
    "edt": partial(alive, partial(EDT, "edt-tiny", TINY_EDT, {"sr_x2": 2, "denoise_25": 1})),
    "nafnet": partial(alive, partial(build, "nafnet", width=8, encoders=(1, 1), middle=1, decoders=(1, 1))),
    "restormer": partial(alive, partial(build, "restormer", dim=8, blocks=(1, 1, 1, 2), refinement=1)),
}
"""A small network of each family."""


class Trial:
    """A method with fresh networks of the same weights.

    Args:
        method: the one to check.
        build: a small network.
    """

    def __init__(self, method: Method, build: Callable[[], Backbone]) -> None:
        self.method, self._build = method, build
        first = build()
        self._weights = {name: tensor.clone() for name, tensor in first.state_dict().items()}
        self.head = min(first.heads, key=lambda name: first.heads[name])
        side, scale = first.window or 16, first.heads[self.head]
        random_numbers = torch.Generator().manual_seed(0)
        self.images = torch.rand(2, 3, side, side, generator=random_numbers)
        self.clean = torch.rand(2, 3, side * scale, side * scale, generator=random_numbers)

    @cached_property
    def obstacle(self) -> str | None:
        """Why the method does not support the network, or None."""
        return self.method.supports(self.network())

    @property
    def needs_evidence(self) -> bool:
        """Whether the method requires other cells; a trial has none, so what depends on them cannot be tried."""
        return type(self.method).requires is not Method.requires

    def network(self) -> Backbone:
        """A fresh network."""
        network = self._build()
        network.load_state_dict(self._weights)
        return network.eval()

    def adapted(self, seed: int = 1, method: Method | None = None) -> Adapted:
        """A fresh network with the method, or a variant of it, on it."""
        return adapt(self.network(), method or self.method, self.head, seed)

    @torch.no_grad()
    def output(self, network: Backbone) -> Tensor:
        """What `network` makes of the images, in evaluation mode."""
        output: Tensor = network.eval()(self.images, self.head)
        return output

    @cached_property
    def trained(self) -> tuple[Adapted, set[str]]:
        """The method after a few steps, and the names of the parameters that got a gradient."""
        adapted = self.adapted()
        return adapted, self.train(adapted)

    def train(self, adapted: Adapted, *, mixed: bool = False) -> set[str]:
        """A few steps, in mixed precision if wanted; the names of the parameters that got a gradient."""
        reached: set[str] = set()
        trainable = adapted.trainable()
        if not trainable:
            return reached
        optimizer = torch.optim.AdamW(trainable.values(), lr=1e-2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            adapted.train()
            for _ in range(STEPS):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    output = adapted.backbone(self.images, self.head)
                torch.autograd.backward(functional.l1_loss(output.float(), self.clean))
                reached |= {name for name, p in trainable.items() if p.grad is not None and p.grad.any()}
                optimizer.step()
        return reached
