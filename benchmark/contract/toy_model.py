"""Small networks on which a method can be tested repeatedly from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.dat import DAT
from petlir.benchmark.backbones.edt import EDT
from petlir.benchmark.backbones.ipt import IPT
from petlir.benchmark.backbones.nafnet import NAFNet
from petlir.benchmark.backbones.restormer import Restormer
from petlir.benchmark.cell import Cell, Chosen
from petlir.benchmark.contract.trial import Trial
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method, PriorResults
from petlir.benchmark.training.adaptation import Adapted, adapt

TASK = "trial"
"""The task on which a method is tested."""
STEPS = 3
"""Number of optimiser steps; a parameter behind two zero-initialised layers gets its first gradient in step three."""
RATE = 1e-2
"""The approximate change of each weight in an optimiser step."""
ROUNDING = 1e-4
"""Tolerance for outputs that are summed in a different order, as a fraction of their largest magnitude."""
CLOSE = 1e-5
"""Tolerance for outputs that should be equal, as a fraction of their largest magnitude."""


def apart(one: Tensor, other: Tensor) -> float:
    """Return the largest difference between two tensors, as a fraction of the largest magnitude in `other`."""
    if one.equal(other):
        return 0.0
    return float((one - other).abs().max() / other.abs().max())


def tiny() -> IPT:
    """Return a seeded IPT with about 30,000 weights, 12×12 windows and two heads."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return IPT.small()


def alive(builder: Callable[[], Backbone], seed: int = 0) -> Backbone:
    """Build a seeded network with small random values in place of all-zero parameters, because zeros hide effects."""
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
"""The stored tensors of a method, by name."""
Finished = tuple[Method, str, int]
"""Method, task and seed of a required cell."""


@dataclass(frozen=True)
class Asked(Cell):
    """A cell that holds the method itself, because the method need not be registered by name."""

    chosen: Method | None = None

    def of(self, method: Chosen, task: str | None = None) -> Asked:
        """Return a copy of the cell with another method and, optionally, another task."""
        assert isinstance(method, Method)
        return replace(self, method=method.name, options=method.options(), task=task or self.task, chosen=method)


@dataclass(frozen=True)
class Evaluation:
    """The effects of forward passes in evaluation mode.

    Attributes:
        outputs: the outputs of two images, each restored alone.
        frozen: names of the frozen parameters and the network's buffers that changed.
        other: names of the tensors that changed among the trainable parameters and the method's own tensors.
        drift: change in the output for an image when it is restored again after another image.
    """

    outputs: Tensor
    frozen: list[str]
    other: list[str]
    drift: float

    @property
    def repeats(self) -> bool:
        """True if forward passes change no tensor, and an image gives the same output each time."""
        return not self.frozen and not self.other and self.drift == 0


def outermost(adapted: Adapted) -> Iterator[tuple[str, nn.Module]]:
    """Yield the inserted modules that are not inside another inserted module, by name."""
    for name, module in adapted.backbone.named_modules():
        owner = adapted.backbone.get_submodule(name.rpartition(".")[0])
        if module in adapted.inserted and owner not in adapted.inserted:
            yield name, module


@contextmanager
def restored(network: Backbone) -> Iterator[dict[str, Tensor]]:
    """Restore all tensors and evaluation mode of `network` after the block; yield the tensors' values by name."""
    tensors = {name: tensor for each in (network.named_parameters(), network.named_buffers()) for name, tensor in each}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        yield before
    finally:
        with torch.no_grad():
            for name, tensor in tensors.items():
                if not tensor.equal(before[name]):
                    tensor.copy_(before[name])
        network.eval()


@torch.no_grad()
def evaluate(adapted: Adapted, images: Tensor, head: str) -> Evaluation:
    """Run forward passes on two images alternately in evaluation mode, reset all tensors, and return the effects."""
    network = adapted.backbone.eval()
    with restored(network) as before:
        first, second, again = (network(images[[index]], head) for index in (0, 1, 0))
        drift = max(apart(again, first), apart(network(images[[1]], head), second))
        now = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        moved = [name for name, tensor in before.items() if name in now and not now[name].equal(tensor)]
    free = {*adapted.trainable(), *adapted.own}
    frozen, other = ([name for name in moved if (name in free) == wanted] for wanted in (False, True))
    return Evaluation(torch.cat([first, second]), frozen, other, drift)


class ToyTrial(Trial):
    """A method under test, and a source of networks with equal weights to which the method is applied.

    Cells that the method requires are trained for a few steps on synthetic images of each task.

    Args:
        method: the method to check.
        build: function that builds a small network.
        weights: the network's weights; by default the weights with which it is built.
        finished: stored tensors of required cells by method, task and seed; missing cells are trained.
    """

    def __init__(
        self,
        method: Method,
        build: Callable[[], Backbone],
        weights: Stored | None = None,
        finished: Mapping[Finished, Stored] | None = None,
    ) -> None:
        super().__init__()
        self.method, self.build = method, build
        first = build()
        self.sized_for(first)
        self.weights = weights or {name: tensor.clone() for name, tensor in first.state_dict().items()}
        self.head = min(first.heads, key=lambda name: first.heads[name])
        self.side, self._scale = first.window or 16, first.heads[self.head]
        self.finished = dict(finished or {})
        self._images, self.clean = self.batch(TASK, 0)

    @property
    def images(self) -> Tensor:
        """A copy of the two synthetic images, so that a faulty method cannot change the originals."""
        return self._images.clone()

    @cached_property
    def obstacle(self) -> str | None:
        """The reason why the method does not support the network, or None."""
        return self.method.supports(self.network())

    def network(self) -> Backbone:
        """Return a new network."""
        network = self.build()
        network.load_state_dict(self.weights)
        return network.eval()

    def batch(self, task: str, index: int, seed: int = 1) -> tuple[Tensor, Tensor]:
        """Return synthetic images and their clean targets; each image has its own brightness."""
        numbers = torch.Generator().manual_seed(seed_of(task, index, seed))
        images = torch.rand(2, 3, self.side, self.side, generator=numbers)
        clean = torch.rand(2, 3, self.side * self._scale, self.side * self._scale, generator=numbers)
        return images * torch.rand(2, 1, 1, 1, generator=numbers), clean

    def adapted(self, seed: int = 1, method: Method | None = None, stored: Stored | None = None) -> Adapted:
        """Return a new network with the method, or a variant of it, applied.

        Args:
            seed: seed of initial weights, also in the required cells.
            method: a variant to use instead of the trial's method.
            stored: the method's stored tensors, if the method is restored from them without the required cells.
        """
        return self.put_on(self.network(), seed, method, stored)

    @torch.enable_grad()
    def put_on(
        self,
        network: Backbone,
        seed: int = 1,
        method: Method | None = None,
        stored: Stored | None = None,
        head: str | None = None,
    ) -> Adapted:
        """Apply the method, or a variant of it, to `network`, by default for the trial's head; see `adapted`."""
        chosen = method or self.method
        return adapt(network, chosen, head or self.head, seed, self._prior(chosen, TASK, seed, stored))

    def _prior(self, method: Method, task: str, seed: int, stored: Stored | None = None) -> PriorResults:
        asked = Asked("small", method.name, {}, "", task, "demo", seed, "tuned", None, STEPS, 2, self.side)
        required = method.requires(asked)
        if not isinstance(required, list) or not all(isinstance(one, Asked) for one in required):
            raise PetlirError(f"requires() returns {required!r}, expected a list of cells made with cell.of()")
        if any(isinstance(one, Asked) and (one.chosen, one.task) == (method, task) for one in required):
            raise PetlirError("requires() returns the cell itself")
        adapters = () if stored is not None else tuple(self._trained_before(need, seed) for need in required)
        heads = (self.head,) * len(required)
        batch = partial(self.batch, seed=seed)
        return PriorResults(adapters, batch, task, self.head, stored, self._validation, heads=heads)

    def _validation(self) -> list[tuple[Tensor, Tensor]]:
        return [(image[None], clean[None]) for image, clean in zip(self.images, self.clean, strict=True)]

    def _trained_before(self, need: Cell, seed: int) -> Stored:
        """Return the stored tensors of a required cell."""
        assert isinstance(need, Asked) and need.chosen is not None
        key = need.chosen, need.task, seed
        if key not in self.finished:
            prior = self._prior(need.chosen, need.task, seed)
            adapted = adapt(self.network(), need.chosen, self.head, seed, prior)
            self.train(adapted, need.task, seed)
            self.finished[key] = adapted.state()
        return self.finished[key]

    @torch.no_grad()
    def output(self, network: Backbone) -> Tensor:
        """Return the output of `network` for the synthetic images, in evaluation mode."""
        output: Tensor = network.eval()(self.images, self.head)
        return output

    def retrained(self) -> Adapted:
        """Return a new adapted network, trained in the same way as `trained`."""
        adapted = self.adapted()
        self.train(adapted)
        adapted.eval()
        return adapted

    @cached_property
    def evaluation(self) -> Evaluation:
        """The effects of a few forward passes of the trained method in evaluation mode."""
        return evaluate(self.trained[0], self.images, self.head)

    @cached_property
    def trained(self) -> tuple[Adapted, set[str]]:
        """The method after a few training steps, and the names of the parameters that received a gradient."""
        adapted = self.adapted()
        return adapted, self.train(adapted)

    @torch.enable_grad()
    def train(self, adapted: Adapted, task: str = TASK, seed: int = 1, *, mixed: bool = False) -> set[str]:
        """Train for a few steps, optionally in mixed precision; return the names of parameters that got a gradient."""
        reached: set[str] = set()
        trainable = adapted.trainable()
        if not trainable:
            return reached
        images, clean = self.batch(task, 0, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            adapted.train()
            for _ in range(STEPS):
                adapted.backbone.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    output = adapted.backbone(images, self.head)
                torch.autograd.backward(functional.l1_loss(output.float(), clean))
                reached |= {name for name, p in trainable.items() if p.grad is not None and p.grad.any()}
                _step(trainable.values())
        return reached


@torch.no_grad()
def _step(parameters: Iterable[nn.Parameter]) -> None:
    """Move each weight against its gradient by about `RATE`, like the first step of Adam."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.sub_(RATE * parameter.grad / (parameter.grad.abs() + 1e-8))
