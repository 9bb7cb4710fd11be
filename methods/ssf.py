"""SSF: every norm and every projection is scaled and shifted, channel by channel."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Site
from petlir.benchmark.layers.pointwise import along_channels, on_maps
from petlir.benchmark.method import Method, Paper, Published


class ScaleShift(nn.Module):
    """A frozen norm or projection whose output is scaled and shifted per channel.

    Args:
        base: the frozen norm or projection.
        maps: whether the output of `base` is an N×C×H×W map; otherwise channels are the last axis.
    """

    def __init__(self, base: nn.Module, *, maps: bool) -> None:
        super().__init__()
        width = len(base.get_parameter("weight"))
        self.base, self.maps = base, maps
        self.scale = nn.Parameter(torch.empty(width).normal_(1, 0.02))
        self.shift = nn.Parameter(torch.empty(width).normal_(0, 0.02))

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled and shifted output, in the base's own layout."""
        scale, shift = (along_channels(vector, maps=self.maps) for vector in (self.scale, self.shift))
        return torch.addcmul(shift, self.base(features), scale)

    def merged(self) -> nn.Module:
        """Return the base module with scale and shift merged into it, or this module if the base cannot have a bias."""
        layer = deepcopy(self.base)
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.LayerNorm):
            return self
        bias = 0 if layer.bias is None else layer.bias.detach() * self.scale
        scale = self.scale.view(-1, *[1] * (layer.weight.ndim - 1))
        layer.weight = nn.Parameter((layer.weight * scale).detach())
        layer.bias = nn.Parameter((bias + self.shift).detach())
        return layer


def _sites(backbone: Backbone) -> Iterator[Site]:
    """Yield the site of each norm and each projection."""
    for block in backbone.blocks():
        yield from (*block.norms, *block.projections())
    yield from backbone.outer_norms()


def _has_channels(module: nn.Module) -> bool:
    """Return whether the first axis of the module's weight is the axis of its output channels."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        return True
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim == 1


@dataclass(frozen=True)
class SSF(Method):
    """A scale and a shift after every norm, inside and around the blocks, and after every projection of every block.

    Source: Lian et al., Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning,
    NeurIPS 2022, §3.2. Scales and shifts are initialised as in the authors' code, so that each pair is initially close
    to the identity, but not equal to it.
    """

    name = "ssf"
    idea = "Every norm and every projection gets a scale and a shift per channel, folded into it afterwards."
    paper = Paper.from_bib(__file__, "lian2022scaling", licence="MIT")
    identity = False

    def adapt(self, backbone: Backbone) -> None:
        """Insert a scale and a shift after each norm and each projection, cross-attention included."""
        maps = on_maps(next(backbone.blocks()))
        for site in _sites(backbone):
            site.replace(ScaleShift(site.module, maps=maps))

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if a norm or projection has no output channels to scale, otherwise None."""
        found = list(_sites(backbone))
        other = next((site for site in found if not _has_channels(site.module)), None)
        if other:
            return f"{backbone.name}: {other.name} is {type(other.module).__name__}, expected one weight per channel"
        return None if found else f"{backbone.name} has no norms and no projections"

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return SSF's configuration in the AdaptIR paper."""
        settings = {
            "ipt": Published(cls(), "373K", "derived"),
            "edt-b": Published(cls(), "117K", "derived; without the norm before the body 117,000, the same figure"),
        }
        return [settings[backbone]] if backbone in settings else []
