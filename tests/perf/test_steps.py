"""Compare training steps of the papers' methods, at published sizes, with full fine-tuning: time, FLOPs and memory.

A step is the forward and backward pass of one 48×48 image on one CPU thread, without the optimiser. Every round takes
one step of each method, so that other load on the machine slows all methods alike. The time of a method is the median
over rounds of its processor time, divided by that of full fine-tuning, or of the floor, in the same round. The floor is
the same network with all weights frozen except one bias before its first block: any method that inserts modules into
the blocks has at least this cost.
"""

from __future__ import annotations

from dataclasses import astuple
from functools import partial
from statistics import median
from time import process_time

import pytest
import torch
from torch import Tensor

from petlir.benchmark import costs
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import Adapted, adapt
from petlir.benchmark.training.loop import loss_of
from tests.perf.conftest import Ratio

METHODS = ("full-ft", "vpt", "adapter", "lora", "adaptformer", "ssf", "fact", "adaptir")
FULL, FLOOR = METHODS[0], "floor"
HEAD, SIDE, SCALE = "sr_x4", 48, 4
ROUNDS = 7
BARS = {
    "ipt": {"vpt": 0.88, "fact": 0.80, **dict.fromkeys(("adapter", "lora", "adaptformer", "ssf", "adaptir"), 0.74)},
    "edt-b": dict.fromkeys(("adapter", "lora", "adaptformer", "adaptir"), 1.10),
}
"""The largest accepted time, relative to full fine-tuning on IPT and to the floor on EDT-B."""
SAVES_MORE = ("ssf", "vpt")
"""Methods that inherently save more for the backward pass: scaled features, or attention to additional tokens."""


def twin(name: str, original: Backbone) -> Backbone:
    """Return another instance of the network that shares the memory of `original`."""
    with without_memory():
        network = find().build(name)
    network.load_state_dict(original.state_dict(), assign=True)
    for where, buffer in original.named_buffers():
        owner, _, attribute = where.rpartition(".")
        setattr(network.get_submodule(owner), attribute, buffer)
    return network


def floor(network: Backbone) -> Adapted:
    """Freeze all weights except the bias of the norm before the first block."""
    network.eval().requires_grad_(False)
    next(network.blocks()).norms[0].module.get_parameter("bias").requires_grad_(True)
    return Adapted(network, HEAD, frozenset(), ())


def models(backbone: str) -> dict[str, Adapted]:
    """Return every method at its first published setting, and the floor."""
    original, methods = find().build(backbone), find().methods
    chosen = {name: methods[name].published(backbone)[0].method for name in METHODS}
    found = {name: adapt(twin(backbone, original), method, HEAD, 0) for name, method in chosen.items()}
    return found | {FLOOR: floor(twin(backbone, original))}


def step(adapted: Adapted, batch: tuple[Tensor, Tensor]) -> float:
    """Return the seconds of processor time of one forward and backward pass."""
    adapted.backbone.zero_grad()
    start = process_time()
    torch.autograd.backward(loss_of(adapted, batch))
    return process_time() - start


def peak(adapted: Adapted, batch: tuple[Tensor, Tensor]) -> int:
    """Return the bytes of weights, gradients, optimiser state and tensors saved for the backward pass."""
    network = adapted.backbone
    network.zero_grad()
    with costs.undisturbed(network):
        held = [*network.parameters(), *network.buffers()]
        saved = costs.saved_for_backward_bytes(lambda: loss_of(adapted, batch), held)
    return sum(part for part in astuple(costs.memory(network, saved, None)) if part)


def flops(adapted: Adapted, batch: tuple[Tensor, Tensor]) -> int:
    with costs.undisturbed(adapted.backbone):
        return costs.flops_of_step(partial(loss_of, adapted, batch))


@pytest.mark.parametrize("backbone", BARS)
def test_a_training_step_at_published_size(benchmark, tell, backbone):
    networks = models(backbone)
    batch = torch.rand(1, 3, SIDE, SIDE), torch.rand(1, 3, SIDE * SCALE, SIDE * SCALE)
    for adapted in networks.values():
        adapted.train()
    times: dict[str, list[float]] = {name: [] for name in networks}

    def once() -> None:
        for name, adapted in networks.items():
            times[name].append(step(adapted, batch))

    benchmark.pedantic(once, rounds=ROUNDS, warmup_rounds=1)
    work = {name: flops(adapted, batch) for name, adapted in networks.items()}
    memory = {name: peak(adapted, batch) for name, adapted in networks.items()}

    def against(other: str, name: str) -> float:
        return round(median(own / its for own, its in zip(times[name][1:], times[other][1:], strict=True)), 3)

    yardstick = FULL if backbone == "ipt" else FLOOR
    for name in networks:
        floors = work[name] / work[yardstick], memory[name] / memory[yardstick]
        against_it = against(yardstick, name)
        tell(Ratio(f"{backbone} with {name}: training step", yardstick, against_it, None, *floors))
    assert [name for name in METHODS if name not in SAVES_MORE and memory[name] > memory[FULL]] == []
    assert [name for name, bar in BARS[backbone].items() if work[name] > bar * work[yardstick]] == []
