"""Test the responses of branches against the module's own output, and energies against sinusoids."""

import math

import pytest
import torch

from petlir.benchmark.analysis.response import answered, low_energy, measured
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.method import Branched
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.adaptir import AdaptIR, AdaptIRModule
from petlir.methods.lora import LoRA
from petlir.methods.moe import Experts


def wave(frequency: float) -> torch.Tensor:
    return torch.cos(2 * math.pi * frequency * torch.arange(64, dtype=torch.float64)).expand(64, 64)


def test_energy_is_that_of_the_waves():
    """A mean of 1, a slow wave of amplitude 1 and a fast wave of amplitude 2 have the energies 1, ½ and 2."""
    maps = (1 + wave(1 / 32) + 2 * wave(1 / 8))[None, None]
    assert low_energy(maps) == pytest.approx(1.5 / 3.5, abs=1e-9)
    assert low_energy(torch.ones(1, 1, 8, 8)) == 1
    assert low_energy(torch.zeros(1, 1, 8, 8)) == 0


def test_numbers_per_channel_vary_over_channels():
    assert measured(torch.tensor([[1.0, 3.0], [2.0, 2.0]])) == {"strength": 2.0, "channel_variance": 0.5}
    maps = torch.tensor([1.0, 3.0])[None, :, None, None].expand(1, 2, 4, 4) + wave(1 / 4)[:4, :4]
    assert measured(maps)["channel_variance"] == pytest.approx(1.0)


@torch.no_grad()
@pytest.mark.parametrize("ensemble", [True, False])
def test_the_branches_make_up_what_the_module_puts_out(ensemble):
    module = AdaptIRModule(24, 8, ensemble=ensemble).eval()
    for parameter in module.parameters():
        parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    features = torch.randn(2, 24, 10, 10)
    found = module.responses(features)
    gates = (found["channel gate"][..., None, None], found["place gate"]) if ensemble else (1, 1)
    mixed = gates[0] * found["local"] + gates[1] * found["frequency"]
    torch.testing.assert_close(module(features), module.tail(found["channel"][..., None, None] * mixed))


@torch.no_grad()
def test_the_experts_of_a_mixture_make_up_what_it_puts_out():
    module = Experts(24, 8).eval()
    for parameter in module.parameters():
        parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    features = torch.randn(2, 24, 10, 10, generator=torch.Generator().manual_seed(0))
    found = module.responses(features)
    assert list(found) == ["expert 1", "expert 2", "expert 3"]
    torch.testing.assert_close(module(features), module.tail(torch.stack(list(found.values())).sum(0)))


def test_every_module_with_branches_answers_once():
    images = torch.rand(1, 3, 12, 12)
    adapted = adapt(tiny(), AdaptIR(hidden=4), "denoise_30", 0).backbone.eval()
    answers = answered(adapted, images, "denoise_30")
    assert len(answers) == sum(isinstance(module, Branched) for module in adapted.modules()) > 0
    assert set(answers[0]) == {"local", "frequency", "channel", "channel gate", "place gate"}
    assert answered(adapt(tiny(), LoRA(), "denoise_30", 0).backbone, images, "denoise_30") == []
