"""Test AdaIR's bottleneck against plain torch code, its position in the network and its size."""

import torch
from torch.nn import functional

from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.adair import AdaIR, DepthwiseBottleneck


def test_the_bottleneck_is_two_products_and_a_depthwise_convolution():
    module = DepthwiseBottleneck(10, 4)
    down, middle, up = (layer.get_parameter("weight") for layer in module)
    with torch.no_grad():
        up.normal_()
        image = torch.randn(2, 10, 5, 6)
        hidden = torch.einsum("rc,nchw->nrhw", down[..., 0, 0], image)
        channels = [functional.conv2d(hidden[:, [i]], middle[[i]], padding=1) for i in range(4)]
        expected = torch.einsum("cr,nrhw->nchw", up[..., 0, 0], torch.cat(channels, 1))
        torch.testing.assert_close(module(image), expected)


def test_it_starts_at_zero():
    assert not DepthwiseBottleneck(10, 4)(torch.randn(1, 10, 5, 6)).any()


def test_size_on_restormer():
    """At 32 channels AdaIR has about 0.98 M parameters, under 8 % of the network; the paper's setting has 1.9 M."""
    with torch.device("meta"):
        network = build("restormer")
        widths = sum(block.width for block in network.blocks())
        adapted = adapt(network, AdaIR(), "restore", 0)
    assert widths == 48 * 4 + 96 * 6 + 192 * 6 + 384 * 8 + 192 * 6 + 96 * 6 + 96 * 4 + 96 * 4
    count = sum(parameter.numel() for parameter in adapted.trainable().values())
    assert count == 2 * (2 * 32 * widths + 44 * 9 * 32)
    assert round(count / 1e6, 2) == 0.98


def test_it_stands_beside_mixer_and_mlp():
    for block in adapt(tiny(), AdaIR(rank=2), "denoise_30", 0).backbone.blocks():
        assert [len(branch.hooks.beside) for branch in block.branches if branch.kind != "cross"] == [1, 1]
        assert sum(len(branch.hooks.beside) for branch in block.branches) == 2
