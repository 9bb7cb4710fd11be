"""Test multi-task pre-training:

IPT's initial weights, the data of each head, and the quality of the shipped weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from petlir.benchmark.backbones.ipt import IPT, IPTConfig
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.degradations.resize import imresize
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.patches import PatchSampler
from petlir.benchmark.plugins import find
from petlir.benchmark.pretraining import multitask
from petlir.benchmark.pretraining.loop import Recipe
from petlir.benchmark.pretraining.scores import card_scores
from petlir.benchmark.pretraining.start import fresh, pass_through
from petlir.benchmark.weights import loading
from tests.helpers.engine import draw
from tests.helpers.networks import ConvNet

SMALL = IPTConfig(features=4, layers=1, attention_heads=2, expansion=2, window=24)
RECIPE = Recipe(batch_size=2, seed=3)


def network(heads: dict[str, int] | None = None) -> IPT:
    torch.manual_seed(0)
    return IPT("small", SMALL, heads or {"sr_x2": 2, "sr_x3": 3, "sr_x4": 4, "derain": 1})


@torch.no_grad()
def test_the_start_passes_its_input_through():
    """The output equals the input within two grey levels, since the tails also read channels without colour."""
    net = network()
    pass_through(net)
    images = torch.rand(2, 3, 24, 24)
    assert torch.allclose(net(images, "derain"), images, atol=2 / 255)


@torch.no_grad()
@pytest.mark.parametrize(("head", "scale"), [("sr_x2", 2), ("sr_x3", 3), ("sr_x4", 4)])
def test_the_start_enlarges_a_ramp(head, scale):
    """A quadratic through three neighbours reproduces every linear ramp, except near the borders."""
    net = network()
    pass_through(net)
    place = torch.arange(24.0)
    ramp = (0.2 + 0.02 * place).expand(1, 3, 24, 24)
    fine = (torch.arange(24.0 * scale) + 0.5) / scale - 0.5
    expected = (0.2 + 0.02 * fine).expand(1, 3, 24 * scale, 24 * scale)
    inner = slice(3 * scale, -3 * scale)
    assert torch.allclose(net(ramp, head)[..., inner, inner], expected[..., inner, inner], atol=2 / 255)


@torch.no_grad()
@pytest.mark.parametrize("name", ["nafnet-nano", "restormer-nano"])
def test_networks_with_a_skip_start_as_the_identity(name):
    images = torch.rand(1, 3, 16, 24)
    assert torch.equal(fresh(find(), name, 0)(images), images)


def test_a_start_is_a_function_of_its_seed():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (fresh(find(), "ipt-nano", seed).official_state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, again[key]) for key, tensor in one.items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_heads_take_turns_on_their_own_degradation():
    """The recipe of the shipped IPT uses exact crops for enlargement, fresh noise, and two strengths of rain."""
    images = [draw([n], 108, 108) for n in range(2)]
    heads = {"sr_x3": 3, "denoise_50": 1, "derain": 1}
    stream = multitask.batches(network(heads), images, RECIPE, tuple(heads))
    rain = [
        (RainStreaks(strength).prepare(image, np.random.default_rng([3, n])), image)
        for strength in ("light", "heavy")
        for n, image in enumerate(images)
    ]
    expected = {
        "sr_x3": ([(imresize(image, 1 / 3), image) for image in images], None),
        "denoise_50": ([(image, image) for image in images], GaussianNoise(50)),
        "derain": (rain, None),
    }
    for step, (head, scale) in enumerate(heads.items(), start=3):
        pairs, noise = expected[head]
        sampler = PatchSampler(pairs, scale=scale, patch=24, batch_size=2, perturb=noise, seed=3)
        found = stream(step)
        assert found[0] == head
        assert all(torch.equal(a, b) for a, b in zip(found[1:], sampler.batch(step), strict=True))


def test_one_head_for_all_has_nothing_to_share():
    for net in (ConvNet(4), find().build("nafnet-nano"), network({"sr_x2": 2})):
        with pytest.raises(PetlirError, match=r"no body can be shared between them; expected the recipe prod or self-"):
            multitask.heads(net)


def test_a_head_without_a_known_degradation_is_named():
    with pytest.raises(PetlirError, match=r"unknown head of small for the recipe multitask 'denoise_31'; did you mean"):
        multitask.heads(network({"sr_x2": 2, "sr_x3": 3, "denoise_31": 1}))


def test_the_shipped_network_beats_the_untrained_input_on_photographs():
    """The baselines are bicubic enlargement at ×4 and the noisy image at σ 30, which need no network."""
    plugins, least = find(), {"sr_x4": 0.3, "denoise_30": 6.0}
    net = plugins.build("ipt-nano")
    loading.load(net)
    scores = card_scores(net, replace(plugins, tasks={task: plugins.task(task) for task in least}), None)
    for task, gain in least.items():
        assert scores[f"photographs {task}"]["psnr"] - scores[f"photographs {task}"]["input"] >= gain
