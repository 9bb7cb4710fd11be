"""AdaptIR: local, frequency and channel representations beside every feed-forward."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.backbone import Backbone, OnMap
from benchmark.method import Method, Paper, Published


class AdaptIRModule(nn.Module):
    """The module as the authors released it, with the names of their state dict.

    What the paper and the code say differently is done as in the code: batch norm behind the down-projection,
    the absolute value of the inverse transform, no third depthwise scale.

    Args:
        width: channels of the map.
        hidden: channels inside.
        ensemble: whether local and frequency branch gate each other (the paper's adaptive feature ensemble),
            or are summed.
        reduction: of the channel gate's bottleneck.
    """

    def __init__(self, width: int, hidden: int, *, ensemble: bool = True, reduction: int = 8) -> None:
        super().__init__()
        half, narrow = max(1, hidden // 2), max(1, hidden // reduction)
        self.head = nn.Conv2d(width, hidden, 1)
        self.BN = nn.BatchNorm2d(hidden)
        self.conv_weight_A = nn.Parameter(torch.empty(hidden, half))
        self.conv_weight_B = nn.Parameter(torch.empty(half, 9))
        self.conv_bias = nn.Parameter(torch.zeros(hidden))
        self.amp_fuse = nn.Conv2d(hidden, hidden, 1, groups=hidden)
        self.pha_fuse = nn.Conv2d(hidden, hidden, 1, groups=hidden)
        self.compress = nn.Conv2d(hidden, 1, 1)
        self.proj = nn.Sequential(nn.Linear(hidden, half), nn.GELU(), nn.Linear(half, hidden))
        self.ensemble = ensemble
        if ensemble:
            self.channel_interaction = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(hidden, narrow, 1), nn.GELU(), nn.Conv2d(narrow, hidden, 1)
            )
            self.spatial_interaction = nn.Conv2d(hidden, 1, 1)
        self.tail = nn.Conv2d(hidden, width, 1, bias=False)
        self._start()

    def _start(self) -> None:
        """Frequencies pass unchanged, gates are half open, nothing comes out."""
        for factor in (self.conv_weight_A, self.conv_weight_B):
            nn.init.kaiming_uniform_(factor, a=5**0.5)
        for fuse in (self.amp_fuse, self.pha_fuse):
            nn.init.ones_(fuse.weight)
            nn.init.zeros_(fuse.get_parameter("bias"))
        gates = (self.channel_interaction[3], self.spatial_interaction) if self.ensemble else ()
        for layer in (*gates, self.tail):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """A map N×C×H×W in and out."""
        inside = self.BN(self.head(features))
        local, frequency = self.local(inside), self.frequency(inside)
        if self.ensemble:
            channels, places = self.channel_interaction(frequency), self.spatial_interaction(local)
            local, frequency = torch.sigmoid(channels) * local, torch.sigmoid(places) * frequency
        mixed: Tensor = self.tail(self.channels(inside)[..., None, None] * (local + frequency))
        return mixed

    def local(self, inside: Tensor) -> Tensor:
        """The local interaction module: a depthwise 3×3 convolution with a low-rank kernel."""
        kernel = (self.conv_weight_A @ self.conv_weight_B).view(-1, 1, 3, 3)
        return functional.conv2d(inside, kernel, self.conv_bias, padding=1, groups=len(kernel))

    def frequency(self, inside: Tensor) -> Tensor:
        """The frequency affine module: amplitude and phase, each scaled and shifted by channel."""
        spectrum = torch.fft.rfft2(inside.float(), norm="ortho")
        amplitude = self.amp_fuse(spectrum.abs()).float()
        phase = self.pha_fuse(spectrum.angle()).float()
        # not torch.polar: its gradient is wrong where the amplitude has become negative
        changed = torch.complex(amplitude * phase.cos(), amplitude * phase.sin())
        image: Tensor = torch.fft.irfft2(changed, s=inside.shape[-2:], norm="ortho")
        return image.abs()

    def channels(self, inside: Tensor) -> Tensor:
        """The channel gating module: one weight N×h a channel, from the places that matter."""
        places = self.compress(inside).flatten(1).softmax(dim=1)
        weights: Tensor = self.proj(torch.einsum("ncl,nl->nc", inside.flatten(2), places))
        return weights


@dataclass(frozen=True)
class AdaptIR(Method):
    """A module of orthogonal representations beside the mlp of every block, which reads the normed features.

    Source: Guo et al., Parameter Efficient Adaptation for Image Restoration with Heterogeneous
    Mixture-of-Experts, NeurIPS 2024, and the released code.

    Attributes:
        hidden: channels inside; without a number a twenty-fourth of the width (on EDT-B the authors take 12).
        ensemble: whether local and frequency branch gate each other.
        reduction: of the channel gate's bottleneck (on EDT-B the authors take 4).
    """

    name = "adaptir"
    idea = "Local, frequency and channel representations run beside every feed-forward and gate each other."
    paper = Paper(
        "Parameter Efficient Adaptation for Image Restoration with Heterogeneous Mixture-of-Experts",
        "Guo et al.",
        "NeurIPS 2024",
        "@inproceedings{guo2024parameter, title={Parameter Efficient Adaptation for Image Restoration with "
        "Heterogeneous Mixture-of-Experts}, author={Guo, Hang and Dai, Tao and Bai, Yuanchao and Chen, Bin "
        "and Ren, Xudong and Zhu, Zexuan and Xia, Shu-Tao}, booktitle={NeurIPS}, year={2024}}",
        "Apache-2.0; a second licence file forbids commercial use",
    )
    size = "hidden"

    hidden: int | None = None
    ensemble: bool = True
    reduction: int = 8

    def adapt(self, backbone: Backbone) -> None:
        """Put a module beside each mlp."""
        for block in backbone.blocks():
            hidden = self.hidden or max(1, block.width // 24)
            module = AdaptIRModule(block.width, hidden, ensemble=self.ensemble, reduction=self.reduction)
            block.mlp.parallel(OnMap(module, block.layout))

    def dead(self) -> tuple[str, ...]:
        """Two biases: batch norm takes the mean off again, and a softmax does not see a constant."""
        return (".head.bias", ".compress.bias")

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """The released module, and what reproduces the paper's other counts on IPT."""
        if backbone != "ipt":
            return []
        old = "derived: the first version of the paper, which has no ensemble"
        return [
            Published(cls(hidden=24), "697K", "the released code"),
            Published(cls(hidden=24, ensemble=False), "692K", "derived: Table 5 without ensemble"),
            Published(cls(hidden=13, ensemble=False), "370K", f"{old}; super-resolution"),
            Published(cls(hidden=18, ensemble=False), "515K", f"{old}; denoising"),
            Published(cls(hidden=32, ensemble=False), "933K", f"{old}; heavy rain"),
        ]
