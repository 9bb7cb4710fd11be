"""AdaptIR: local, frequency and channel representations parallel to every feed-forward network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, OnMap
from petlir.benchmark.errors import unknown
from petlir.benchmark.layers.pointwise import Residual
from petlir.benchmark.method import Method, Paper, Published

SPATIAL = ("local", "frequency")
BRANCHES = (*SPATIAL, "channel")
POSITIONS = ("parallel-mlp", "parallel-attention", "after-mlp", "after-attention")
STARTS = ("independent", "cloned")


def low_rank_convolution(features: Tensor, a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
    """Convolve N×h×H×W maps with the 3×3 kernels in `a` @ `b`: depthwise if the product is h×9, dense if it is h×9h."""
    kernel = (a @ b).view(len(a), -1, 3, 3)
    return functional.conv2d(features, kernel, bias, padding=1, groups=len(a) // kernel.shape[1])


class AdaptIRModule(nn.Module):
    """The module as released by the authors, with the parameter names of their state dict.

    Where the paper and the authors' code differ, this class follows the code: it has batch norm after the
    down-projection, takes the absolute value of the inverse Fourier transform, and lacks the paper's third depthwise
    scale.

    Any of the three branches can be left out (the paper's Table 6). If only one of the two spatial branches, `local`
    and `frequency`, is in use, this branch takes the roles of both and gates itself. Without spatial branches, the
    channel weights multiply the normed hidden features, and there is no gate.

    Args:
        width: number of channels of the map.
        hidden: number of channels of the hidden features.
        ensemble: whether the local and the frequency branch gate each other (the paper's adaptive feature ensemble) or
            are summed.
        reduction: reduction factor of the channel gate's bottleneck.
        branches: the branches in use, from `local`, `frequency` and `channel`.
        dense: spatial branches whose convolutions mix channels instead of being depthwise (Table 5).
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        ensemble: bool = True,
        reduction: int = 8,
        branches: Sequence[str] = BRANCHES,
        dense: Sequence[str] = (),
    ) -> None:
        super().__init__()
        half, narrow = max(1, hidden // 2), max(1, hidden // reduction)
        self.branches = tuple(branches)
        self.ensemble = ensemble and self.branches != ("channel",)
        self.head = nn.Conv2d(width, hidden, 1)
        self.BN = nn.BatchNorm2d(hidden)
        if "local" in branches:
            self.conv_weight_A = nn.Parameter(torch.empty(hidden, half))
            self.conv_weight_B = nn.Parameter(torch.empty(half, 9 * hidden if "local" in dense else 9))
            self.conv_bias = nn.Parameter(torch.zeros(hidden))
        if "frequency" in branches:
            groups = 1 if "frequency" in dense else hidden
            self.amp_fuse = nn.Conv2d(hidden, hidden, 1, groups=groups)
            self.pha_fuse = nn.Conv2d(hidden, hidden, 1, groups=groups)
        if "channel" in branches:
            self.compress = nn.Conv2d(hidden, 1, 1)
            self.proj = nn.Sequential(nn.Linear(hidden, half), nn.GELU(), nn.Linear(half, hidden))
        if self.ensemble:
            self.channel_interaction = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(hidden, narrow, 1), nn.GELU(), nn.Conv2d(narrow, hidden, 1)
            )
            self.spatial_interaction = nn.Conv2d(hidden, 1, 1)
        self.tail = nn.Conv2d(hidden, width, 1, bias=False)
        self._start()

    def _start(self) -> None:
        """Initialise the weights so that the spectrum passes unchanged, gates are half open and the output is zero."""
        for factor in (self.conv_weight_A, self.conv_weight_B) if "local" in self.branches else ():
            nn.init.kaiming_uniform_(factor, a=5**0.5)
        for fuse in (self.amp_fuse, self.pha_fuse) if "frequency" in self.branches else ():
            nn.init.dirac_(fuse.weight, fuse.groups)
            nn.init.zeros_(fuse.get_parameter("bias"))
        gates = (self.channel_interaction[3], self.spatial_interaction) if self.ensemble else ()
        for layer in (*gates, self.tail):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for an N×C×H×W map, in the same shape."""
        inside = self.BN(self.head(features))
        mixed = self.spatial(inside)
        if "channel" in self.branches:
            mixed = self.channels(inside)[..., None, None] * mixed
        return cast("Tensor", self.tail(mixed))

    def responses(self, features: Tensor) -> dict[str, Tensor]:
        """Return each branch's N×h×H×W or N×h output for an N×C×H×W map, and the values of the ensemble's gates."""
        inside = self.BN(self.head(features))
        known = {"local": self.local, "frequency": self.frequency, "channel": self.channels}
        found = {name: known[name](inside) for name in BRANCHES if name in self.branches}
        if not self.ensemble:
            return found
        spatial = [found[name] for name in SPATIAL if name in found]
        first, last = spatial[0], spatial[-1]
        gates = {"channel": self.channel_interaction(last).flatten(1), "place": self.spatial_interaction(first)}
        return found | {f"{name} gate": torch.sigmoid(gate) for name, gate in gates.items()}

    def spatial(self, inside: Tensor) -> Tensor:
        """Return the combined outputs of the spatial branches, or the hidden features without spatial branches."""
        known = {"local": self.local, "frequency": self.frequency}
        outputs = [branch(inside) for name, branch in known.items() if name in self.branches]
        if not self.ensemble:
            return sum(outputs[1:], outputs[0]) if outputs else inside
        first, last = outputs[0], outputs[-1]
        channels, places = self.channel_interaction(last), self.spatial_interaction(first)
        return torch.sigmoid(channels) * first + torch.sigmoid(places) * last

    def local(self, inside: Tensor) -> Tensor:
        """Apply the local interaction module."""
        return low_rank_convolution(inside, self.conv_weight_A, self.conv_weight_B, self.conv_bias)

    def frequency(self, inside: Tensor) -> Tensor:
        """Apply the frequency affine module, which scales and shifts the amplitude and the phase per channel."""
        spectrum = torch.fft.rfft2(inside.float(), norm="ortho")
        amplitude = self.amp_fuse(spectrum.abs()).float()
        phase = self.pha_fuse(spectrum.angle()).float()
        # not torch.polar: its gradient is wrong where the amplitude is negative
        changed = torch.complex(amplitude * phase.cos(), amplitude * phase.sin())
        image: Tensor = torch.fft.irfft2(changed, s=inside.shape[-2:], norm="ortho")
        return image.abs()

    def channels(self, inside: Tensor) -> Tensor:
        """Return the N×h weights of the channel gating module, one per channel, from attention over positions."""
        places = self.compress(inside).flatten(1).softmax(dim=1)
        weights: Tensor = self.proj(torch.einsum("ncl,nl->nc", inside.flatten(2), places))
        return weights


@dataclass(frozen=True)
class AdaptIR(Method):
    """A module with local, frequency and channel branches, parallel to every mlp; it reads the normed features.

    Option values other than the defaults reproduce the paper's ablations. With `position=after-…`, the module follows
    the mlp or the attention, and its output is added to its input.

    Source: Guo et al., Parameter Efficient Adaptation for Image Restoration with Heterogeneous Mixture-of-Experts,
    NeurIPS 2024, and the released code. By default every module draws its own initial weights, as the released code
    does on EDT. On EDT, the released code draws the weights of the channel module's linear layers from a normal
    distribution with standard deviation 0.02; petlir uses torch's default initialisation. On IPT, the released code
    builds the encoder from copies of one layer, and the decoder likewise, so that all modules of an encoder or decoder
    start with equal weights; `start=cloned` reproduces these equal weights.

    Attributes:
        hidden: number of channels of the hidden features; by default 1/24 of the width (the authors use 12 on EDT-B).
        ensemble: whether the local and the frequency branch gate each other.
        reduction: reduction factor of the channel gate's bottleneck (the authors use 4 on EDT-B).
        branches: branches in use, e.g. `local+frequency` (Table 6).
        position: `parallel-mlp`, `parallel-attention`, `after-mlp` or `after-attention` (Table 7).
        dense: spatial branches whose convolutions mix channels instead of being depthwise, e.g. `local` or
            `local+frequency` (Table 5).
        start: initial weights: `independent`, or `cloned` within each stack of blocks of equal width.
    """

    name = "adaptir"
    idea = "Local, frequency and channel branches run beside every feed-forward layer and gate each other."
    paper = Paper.from_bib(
        __file__, "guo2024parameter", licence="Apache-2.0; a second licence file forbids commercial use"
    )
    size = "hidden"
    sees_whole = True

    hidden: int | None = None
    ensemble: bool = True
    reduction: int = 8
    branches: str = "+".join(BRANCHES)
    position: str = POSITIONS[0]
    dense: str | None = None
    start: str = STARTS[0]

    def __post_init__(self) -> None:
        super().__post_init__()
        branches = self.branches.split("+")
        for option, given, valid in (
            ("branch", branches, BRANCHES),
            ("dense branch", self._dense, [name for name in SPATIAL if name in branches]),
            ("position", [self.position], POSITIONS),
            ("start", [self.start], STARTS),
        ):
            for name in given:
                if name not in valid:
                    raise unknown(f"{option} of {self.name}", name, valid)

    @property
    def _dense(self) -> list[str]:
        return self.dense.split("+") if self.dense else []

    def adapt(self, backbone: Backbone) -> None:
        """Insert an AdaptIR module into each block."""
        how, _, where = self.position.partition("-")
        first: dict[tuple[str, int], AdaptIRModule] = {}
        for block in backbone.blocks():
            inside = self._module(block.width)
            if self.start == "cloned":
                stack = block.name.partition(".")[0], block.width
                inside.load_state_dict(first.setdefault(stack, inside).state_dict())
            module = OnMap(inside, block.layout)
            branch = block.mixer if where == "attention" else block.mlp
            if how == "after":
                branch.after(Residual(module))
            else:
                branch.parallel(module)

    def _module(self, width: int) -> AdaptIRModule:
        return AdaptIRModule(
            width,
            self.hidden or max(1, width // 24),
            ensemble=self.ensemble,
            reduction=self.reduction,
            branches=self.branches.split("+"),
            dense=self._dense,
        )

    def zero_grad_parameters(self) -> tuple[str, ...]:
        """Return the names of two biases without effect: one before a batch norm, one on all inputs of a softmax."""
        return (".head.bias", ".compress.bias")

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return AdaptIR's released configuration and the paper's other configurations, including ablations."""
        old = "derived: the first version of the paper, which has no ensemble"
        dense = "no derivation gives this count; dense where the released module is depthwise"
        two = "local+frequency"
        settings = {
            "ipt": [
                Published(cls(24), "697K", "the released code"),
                Published(cls(24, ensemble=False), "692K", "derived: Table 5 without ensemble"),
                Published(cls(13, ensemble=False), "370K", f"{old}; super-resolution"),
                Published(cls(18, ensemble=False), "515K", f"{old}; denoising"),
                Published(cls(32, ensemble=False), "933K", f"{old}; heavy rain"),
                Published(cls(24, branches="local"), "680K", "derived: Table 6; channel alone gives 680,568"),
                Published(
                    cls(24, branches=two), "682K", "derived: Table 6; frequency+channel without ensemble 682,872"
                ),
                Published(
                    cls(24, branches=two, ensemble=False),
                    "678K",
                    "Table 6, if rounded: truncating 677,664 would give 677K",
                ),
                Published(cls(24, dense="local"), "718K", f"Table 5: {dense}", 757_272),
                Published(cls(24, dense="frequency"), "728K", f"Table 5: {dense}", 724_152),
                Published(cls(24, branches=two, dense=two), "743K", f"Table 5, no channel branch: {dense}", 768_480),
            ],
            "edt-b": [
                Published(cls(12, reduction=4), "173K", "the released code; Table 4"),
                Published(cls(12, ensemble=False, reduction=4), "170K", f"{old}; Table 14"),
            ],
        }
        return settings.get(backbone, [])
