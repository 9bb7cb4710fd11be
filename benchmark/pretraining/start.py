"""Initial weights for pre-training: a network that passes its input through, upscaled by interpolation.

A network with random weights would first have to learn the identity. Networks with a skip from input to output
(EDT, NAFNet, Restormer) only need their last layers to output zero; IPT has no skip from input to output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.ipt import IPT, Attention, Body, FeedForward, ResBlock
from petlir.benchmark.plugins import Plugins

FEATURE_RANGE = 8.0
"""Heads divide values in 0..255 by this factor, so that features have a suitable magnitude; tails undo this."""


def fresh(plugins: Plugins, name: str, seed: int) -> Backbone:
    """Return the backbone `name` on the CPU, with initial weights that depend only on `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = plugins.build(name)
        torch.manual_seed(seed)  # so that the initial weights do not depend on how many numbers the construction draws
        begin(network)
    return network


def begin(network: Backbone) -> None:
    """Initialise the weights in place such that the network passes its input through; uses torch's global generator."""
    if isinstance(network, IPT):
        pass_through(network)
    else:
        add_nothing(network)


def add_nothing(network: Backbone) -> None:
    """Initialise with zeros the layers whose output is added to the input image."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels == 3:
            for parameter in module.parameters():
                nn.init.zeros_(parameter)


def pass_through(network: IPT) -> None:
    """Initialise the weights so that branches add nothing, and heads and tails change colours by at most 2/255."""
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
    """Initialise the last layer of a residual branch with zeros."""
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
    """Make a convolution copy its first three input channels, multiplied by `gain`, to its first three outputs."""
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    weight = convolution.weight
    weight.mul_(0.1)
    weight[:3, :3] = 0
    for colour in range(3):
        weight[colour, colour, 1, 1] = gain
    nn.init.zeros_(convolution.bias)


def _interpolate(convolution: nn.Conv2d) -> None:
    """Make a convolution upscale each channel by quadratic interpolation, in the channel order of the pixel shuffle."""
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
