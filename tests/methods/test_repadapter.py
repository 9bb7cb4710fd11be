"""Test RepAdapter against torch's grouped convolutions, and merged into the projections that follow it."""

import pytest
import torch
from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.training.adaptation import adapt, merge
from petlir.methods.repadapter import Fronted, LinearAdapter, RepAdapter
from tests.helpers.networks import ConvNet


def shaken(network: Backbone, method: RepAdapter, head: str):
    adapted = adapt(network, method, head, seed=0)
    with torch.no_grad():
        for parameter in adapted.trainable().values():
            parameter.normal_(0, 0.2)
    return adapted


@pytest.mark.parametrize("maps", [True, False])
def test_the_adapter_is_a_residual_of_two_convolutions_the_second_in_two_groups(maps):
    adapter = LinearAdapter(8, 3, scale=0.7, dropout=0.5, maps=maps).eval()
    down, up = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 8, 1, groups=2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
        down.weight.copy_(adapter.down.weight.view(6, 8, 1, 1))
        up.weight.copy_(adapter.up.reshape(8, 3, 1, 1))
        down.get_parameter("bias").copy_(adapter.down.get_parameter("bias"))
        up.get_parameter("bias").copy_(adapter.bias)
        image = torch.randn(2, 8, 4, 5)
        expected = image + 0.7 * up(down(image))
        output = adapter(image) if maps else adapter(image.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize(
    ("make", "head", "side"),
    [
        (tiny, "denoise_30", 12),
        (ConvNet, "restore", 16),
        (lambda: build("restormer", dim=8, blocks=(1, 1, 1, 1), refinement=1), "restore", 16),
    ],
    ids=["ipt", "conv", "restormer"],
)
def test_folding_is_exact(make, head, side):
    """In IPT's decoder, positions are added to queries before their projection."""
    adapted, images = shaken(make(), RepAdapter(rank=2, scale=0.5), head), torch.rand(2, 3, side, side)
    plain = make().state_dict().keys()
    with torch.no_grad():
        before = adapted.backbone(images, head)
        assert merge(adapted.backbone)
        after = adapted.backbone(images, head)
    assert not any(isinstance(module, Fronted) for module in adapted.backbone.modules())
    assert plain <= adapted.backbone.state_dict().keys()  # and biases where there were none
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


def test_a_branch_has_one_adapter_and_the_memory_none():
    network = adapt(tiny(), RepAdapter(), "denoise_30", 0).backbone
    for block in network.blocks():
        for branch in block.branches:
            found = {site.name: site.module for site in branch.sites if isinstance(site.module, Fronted)}
            expected = {"mixer": {"query", "key", "value"}, "cross": {"query"}, "mlp": {"up"}}[branch.kind]
            assert set(found) == expected
            assert len({module.adapter for module in found.values()}) == 1


def test_parameters_of_the_published_size():
    """Hidden width 8 in two groups (Luo et al., §3.2) gives d·8 + 8 down and d·8/2 + d up, on 60 branches of IPT."""
    with torch.device("meta"):
        adapted = adapt(build("ipt"), RepAdapter(), "sr_x4", 0)
    assert sum(p.numel() for p in adapted.trainable().values()) == 60 * (576 * 8 + 8 + 576 * 4 + 576)


def test_channels_that_do_not_halve_are_not_applicable():
    assert RepAdapter().supports(ConvNet(width=7)) == "conv-tiny: 7 channels of body.0 are not even"
