"""Test that petlir's dropout equals torch's on a CPU, to the bit, and draws its masks there for every device."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from petlir.benchmark.layers.dropout import Dropout


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(3, 50, 16), (2, 8, 9, 7)])
def test_the_bits_are_those_of_torch(share, training, shape):
    features = torch.randn(shape).requires_grad_()
    outputs = []
    for layer in (Dropout(share), nn.Dropout(share)):
        torch.manual_seed(3)
        output = layer.train(training)(features)
        (gradient,) = torch.autograd.grad(output.square().sum(), features)
        outputs.append((output, gradient))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*outputs, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_drops_what_a_cpu_drops():
    features, layer = torch.ones(1000), Dropout(0.5).train()
    torch.manual_seed(0)
    here = layer(features)
    torch.manual_seed(0)
    assert torch.equal(layer(features.cuda()).cpu(), here)
