"""Compare DAT-light with a plain transcription of its equations, on the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.dat import DAT
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.lora import LowRank
from tests.helpers.plain_dat import PlainDAT
from tests.perf.conftest import Ratio
from tests.perf.test_convolutional import floors, ratio

Work = Callable[[], object]


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nn.Module]:
    """Return DAT-light and its transcription, both frozen except for a LoRA of rank 4 on every `qkv`."""
    network = build("dat-light")
    assert isinstance(network, DAT)
    plain = PlainDAT(network).requires_grad_(False)
    for name, module in list(plain.named_modules()):
        if name.endswith(".qkv"):
            assert isinstance(module, nn.Linear)
            plain.set_submodule(name, LowRank(module, 4, 1.0))
    return adapt(network, find().methods["lora"](), "sr_x4", 0).backbone, plain


def step(network: nn.Module) -> Work:
    degraded, clean = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 128, 128)

    def work() -> None:
        network.zero_grad()
        torch.autograd.backward(functional.l1_loss(network(degraded), clean))

    return work


def inference(network: nn.Module) -> Work:
    images = torch.rand(1, 3, 128, 128)

    def work() -> None:
        with torch.inference_mode():
            network(images)

    return work


@pytest.mark.parametrize("kind", [step, inference], ids=["training step", "inference"])
def test_it_takes_two_thirds_of_a_transcription(benchmark, tell, pair, kind):
    work, plain = (kind(network) for network in pair)
    measured = ratio(work, plain, 7)
    benchmark.pedantic(work, rounds=3, warmup_rounds=1)
    name = f"DAT-light with LoRA: {'training step' if kind is step else 'inference'}"
    tell(Ratio(name, "plain transcription", measured, 0.65, *floors(pair[0], pair[1], torch.rand(1, 3, 32, 32))))
