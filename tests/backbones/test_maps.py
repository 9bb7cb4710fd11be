"""Test norms over channels against their formulas."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from petlir.benchmark.backbones.maps import BiasFreeNorm, ChannelNorm

FORMATS = [torch.contiguous_format, torch.channels_last]


def drawn(norm):
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    return norm.double()


def maps(memory_format: torch.memory_format) -> torch.Tensor:
    torch.manual_seed(0)
    return (torch.randn(2, 5, 3, 4, dtype=torch.float64) + 2).contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_layer_norm_over_channels(memory_format):
    features, norm = maps(memory_format), drawn(ChannelNorm(5, 1e-3))
    normed = norm(features)
    for image, place in ((0, (1, 2)), (1, (2, 3))):
        column = features[image, :, *place]
        expected = (column - column.mean()) / (column.var(correction=0) + 1e-3).sqrt() * norm.weight + norm.bias
        torch.testing.assert_close(normed[image, :, *place], expected)
    assert normed.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_a_bias_free_norm_keeps_the_mean(memory_format):
    features, norm = maps(memory_format), drawn(BiasFreeNorm(5, 1e-3))
    variance = features.var(1, correction=0, keepdim=True)
    expected = features * norm.weight.view(-1, 1, 1) / (variance + 1e-3).sqrt()
    torch.testing.assert_close(norm(features), expected)


@pytest.mark.parametrize("norm", [ChannelNorm, BiasFreeNorm])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_first_and_second_derivatives(norm, memory_format):
    """The backward pass of the official NAFNet's norm is written by hand and cannot be differentiated again."""
    layer, features = drawn(norm(5, 1e-3)), maps(memory_format)[:1, :, :2, :2].requires_grad_()
    assert gradcheck(layer, features)
    assert gradgradcheck(layer, features)
