"""A small network to try a method on, again and again from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.adaptation import Adapted, adapt
from benchmark.backbone import Backbone
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

    def train(self, adapted: Adapted) -> set[str]:
        """A few steps; the names of the parameters that got a gradient."""
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
                loss = functional.l1_loss(adapted.backbone(self.images, self.head), self.clean)
                torch.autograd.backward(loss)
                reached |= {name for name, p in trainable.items() if p.grad is not None and p.grad.any()}
                optimizer.step()
        return reached
