"""Test Convpass against its formula in plain torch code, and its position in the network."""

import pytest
import torch
from torch import nn

from petlir.benchmark.backbone import OnMap
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.layers.pointwise import Scaled
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.convpass import Bypass, Convpass


def quick(features):
    return features / (1 + torch.exp(-1.702 * features))


def test_the_bypass_is_its_formula():
    bypass = Bypass(10, 4, dropout=0.5).eval()
    weights = [layer.get_parameter("weight") for layer in bypass if isinstance(layer, nn.Conv2d)]
    biases = [layer.get_parameter("bias").view(-1, 1, 1) for layer in bypass if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for parameter in bypass.parameters():
            parameter.normal_(0, 0.5)
        features = torch.randn(2, 10, 5, 6)
        hidden = quick(torch.einsum("rc,nchw->nrhw", weights[0][..., 0, 0], features) + biases[0])
        patches = nn.functional.unfold(hidden, 3, padding=1)
        mixed = quick((weights[1].flatten(1) @ patches).unflatten(-1, (5, 6)) + biases[1])
        expected = torch.einsum("cr,nrhw->nchw", weights[2][..., 0, 0], mixed) + biases[2]
        torch.testing.assert_close(bypass(features), expected)


def test_the_middle_starts_as_the_identity_and_the_end_at_zero():
    bypass = Bypass(10, 4, dropout=0.0)
    image = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(bypass[2](image), image)
    assert not bypass(torch.randn(1, 10, 5, 6)).any()


def test_it_adds_to_mixer_and_mlp_what_the_normed_features_give():
    network = adapt(tiny(), Convpass(rank=2, scale=0.7), "denoise_30", 0).backbone
    for block in network.blocks():
        assert [len(branch.hooks.beside) for branch in (block.mixer, block.mlp)] == [1, 1]
        assert sum(len(branch.hooks.beside) for branch in block.branches) == 2
    block = next(network.blocks())
    scaled = block.mlp.hooks.beside[0]
    assert isinstance(scaled, Scaled)
    assert isinstance(scaled.module, OnMap)
    bypass = scaled.module.module
    with torch.no_grad():
        for parameter in bypass.parameters():
            parameter.normal_(0, 0.5)
        features = torch.randn(2, 16, block.width)
        normed = block.mlp.norm.module(features)
        change = bypass(normed.transpose(1, 2).unflatten(2, (4, 4))).flatten(2).transpose(1, 2)
        branch = block.mlp.hooks(torch.sin, block.mlp.norm.module, features)
        torch.testing.assert_close(branch, normed.sin() + 0.7 * change)


def test_an_impossible_dropout_is_one_clear_line():
    with pytest.raises(PetlirError, match="convpass: dropout is 1, expected"):
        Convpass(dropout=1.0)
