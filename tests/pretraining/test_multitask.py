"""Pre-training: where it starts, that it continues exactly, and what the shipped weights can do."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
import torch

from benchmark import weights
from benchmark.backbones.ipt import IPT, IPTConfig
from benchmark.evaluation import restore_image
from benchmark.images.prepare import test_pairs as pairs_of
from benchmark.metrics import psnr
from benchmark.plugins import find
from benchmark.pretraining.multitask import Recipe, pretrain
from benchmark.pretraining.start import pass_through
from benchmark.protocol import protocol

SMALL = IPTConfig(features=4, layers=1, attention_heads=2, expansion=2, window=24)


def network(heads: dict[str, int] | None = None) -> IPT:
    torch.manual_seed(0)
    return IPT("small", SMALL, heads or {"sr_x2": 2, "sr_x3": 3, "sr_x4": 4, "derain": 1})


@torch.no_grad()
def test_the_start_passes_its_input_through():
    """To within two grey levels: the tails read a little of the channels that carry no colour."""
    net = network()
    pass_through(net)
    images = torch.rand(2, 3, 24, 24)
    assert torch.allclose(net(images, "derain"), images, atol=2 / 255)


@torch.no_grad()
@pytest.mark.parametrize(("head", "scale"), [("sr_x2", 2), ("sr_x3", 3), ("sr_x4", 4)])
def test_the_start_enlarges_a_ramp(head, scale):
    """A quadratic through three neighbours reproduces every straight line, away from the borders."""
    net = network()
    pass_through(net)
    place = torch.arange(24.0)
    ramp = (0.2 + 0.02 * place).expand(1, 3, 24, 24)
    fine = (torch.arange(24.0 * scale) + 0.5) / scale - 0.5
    expected = (0.2 + 0.02 * fine).expand(1, 3, 24 * scale, 24 * scale)
    inner = slice(3 * scale, -3 * scale)
    assert torch.allclose(net(ramp, head)[..., inner, inner], expected[..., inner, inner], atol=2 / 255)


def test_the_rate_warms_up_then_falls_as_a_cosine():
    recipe = Recipe(steps=1000, rate=1.0, warm_up=100)
    assert recipe.rate_at(0) == pytest.approx(0.01)
    assert recipe.rate_at(100) == pytest.approx(1.0)
    assert recipe.rate_at(550) == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi / 2)) / 2)
    assert recipe.rate_at(1000) == pytest.approx(0.01)


def test_a_stopped_pre_training_continues_to_the_same_bits(tmp_path):
    heads = {"denoise_30": 1, "denoise_50": 1}
    recipe = Recipe(steps=4, batch_size=1, images=2, warm_up=1)
    whole = network(heads)
    for _ in pretrain(whole, recipe, tmp_path / "whole"):
        pass
    shorter = Recipe(steps=4, batch_size=1, images=2, warm_up=1)
    state = network(heads)
    steps = pretrain(state, shorter, tmp_path / "parts", keep_every=2)
    assert [next(steps)[0] for _ in range(3)] == [0, 1, 2]
    del steps
    resumed = network(heads)
    assert [step for step, _ in pretrain(resumed, shorter, tmp_path / "parts")] == [2, 3]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize(("task", "least"), [("sr_x4", 0.3), ("denoise_30", 6.0)])
def test_the_shipped_network_beats_the_untrained_input_on_photographs(task, least):
    """Bicubic enlargement at ×4 and the noisy image at σ 30 are what anyone has without a network."""
    plugins = find()
    net = plugins.build("ipt-nano")
    weights.load(net)
    net.eval()
    found = plugins.task(task)
    rule = protocol(found.protocols[0])
    photographs = [pair for pair in pairs_of(found, "demo", None) if pair.domain == "photographs"]
    gains = []
    for pair in photographs:
        restored = restore_image(net, pair.degraded, (net.head_for(found),))
        gains.append(psnr(restored, pair.clean, rule) - untrained(pair, found.scale, rule))
    assert fmean(gains) >= least


def untrained(pair, scale, rule):
    """The PSNR of the input, enlarged by Pillow's bicubic where it is smaller."""
    import numpy as np
    import PIL.Image

    image = PIL.Image.fromarray(pair.degraded)
    size = (pair.clean.shape[1], pair.clean.shape[0])
    enlarged = image if scale == 1 else image.resize(size, PIL.Image.Resampling.BICUBIC)
    return psnr(np.asarray(enlarged), pair.clean, rule)
