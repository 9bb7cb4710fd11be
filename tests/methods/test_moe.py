"""Test MoE: its three experts against three convolutions of torch."""

import torch
from torch import nn

from petlir.methods.moe import Experts


def test_the_experts_are_summed_depthwise_convolutions():
    module = Experts(20, 6).eval()
    with torch.no_grad():
        for parameter in (module.bias, module.tail.weight):
            parameter.normal_()
        experts = [nn.Conv2d(6, 6, 3, padding=1, groups=6) for _ in range(3)]
        for index, expert in enumerate(experts):
            expert.weight.copy_(torch.mm(module.weight_a[index], module.weight_b[index]).view(6, 1, 3, 3))
            expert.get_parameter("bias").copy_(module.bias[index])
        features = torch.randn(2, 20, 5, 7)
        inside = module.BN(module.head(features))
        expected = module.tail(experts[0](inside) + experts[1](inside) + experts[2](inside))
        torch.testing.assert_close(module(features), expected)


def test_it_starts_at_zero_with_experts_that_differ():
    module = Experts(20, 6)
    assert not module(torch.randn(2, 20, 5, 6)).any()
    first, second, third = module.weight_a @ module.weight_b
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
