"""Where pre-training starts: a network that already passes its input through, enlarged by interpolation.

IPT has no skip from input to output, so a network with random weights first spends its budget on learning the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.backbones.ipt import IPT, Attention, Body, FeedForward, ResBlock

FEATURE_RANGE = 8.0
"""By how much heads divide and tails multiply 0..255, so that features have the size that layers work at."""


def pass_through(network: IPT) -> None:
    """Set the weights in place: branches add nothing, heads and tails carry the three colours, to two grey levels."""
    with torch.no_grad():
        for module in network.modules():
            _silence(module)
        for head in network.head:
            _carry(head.get_submodule("0"), 1 / FEATURE_RANGE)
        for tail in network.tail:
            for module in tail.get_submodule("0").children():
                if isinstance(module, nn.Conv2d):
                    _interpolate(module)
            _carry(tail.get_submodule("1"), FEATURE_RANGE / 2)


def _silence(module: nn.Module) -> None:
    """The last layer of a residual branch starts at zero."""
    last: list[nn.Module] = []
    if isinstance(module, Attention):
        last = [module.out_proj]
    elif isinstance(module, FeedForward):
        last = [module.linear2]
    elif isinstance(module, ResBlock):
        last = [module.body[2]]
    elif isinstance(module, Body):
        last = [module.linear_encoding, module.mlp_head[3]]
        nn.init.normal_(module.query_embed.weight, std=0.02)
        nn.init.normal_(module.position_encoding.pe.weight, std=0.02)
    for layer in last:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def _carry(convolution: nn.Module, gain: float) -> None:
    """Let the first three channels pass with `gain`."""
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    weight = convolution.weight
    weight.mul_(0.1)
    weight[:3, :3] = 0
    for colour in range(3):
        weight[colour, colour, 1, 1] = gain
    nn.init.zeros_(convolution.bias)


def _interpolate(convolution: nn.Conv2d) -> None:
    """Let every channel be enlarged by the quadratic through three neighbours, ready for the pixel shuffle."""
    channels = convolution.in_channels
    scale = round((convolution.out_channels / channels) ** 0.5)
    phases = (torch.arange(scale) + 0.5) / scale - 0.5
    taps = torch.stack([phases * (phases - 1) / 2, 1 - phases**2, phases * (phases + 1) / 2], dim=1)
    kernels: Tensor = torch.einsum("ya,xb->yxab", taps, taps).reshape(scale**2, 3, 3)
    nn.init.zeros_(convolution.weight)
    for channel in range(channels):
        convolution.weight[channel * scale**2 : (channel + 1) * scale**2, channel] = kernels
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
