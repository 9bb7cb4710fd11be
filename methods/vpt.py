"""VPT: learned tokens that every self-attention also looks at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method, Paper, Published


class Prompts(nn.Module):
    """Learned tokens K×C, drawn uniformly from ±`bound`."""

    def __init__(self, tokens: int, width: int, bound: float) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(tokens, width).uniform_(-bound, bound))

    def forward(self) -> Tensor:
        """The tokens."""
        return self.tokens


@dataclass(frozen=True)
class VPT(Method):
    """VPT-deep: prompts of its own join the tokens before each block, and leave them behind it.

    A prompt reaches the other tokens by self-attention alone, and what a block makes of it is dropped. So nothing of
    that is computed here: keys and values are joined by those of the normed prompts, which is the same function for
    less work. A prompt has no query position, a decoder's memory holds no prompts, and where attention is cut into
    windows each window sees the same ones; EDT's positional convolution of the values does not see them. Blocks that
    attend between channels have no tokens to join and get none: DAT's prompts are in its window attentions.

    Source: Jia et al., Visual Prompt Tuning, ECCV 2022, §3.2, eq. 5, with the initialisation of the authors' code
    and without dropout. The start is not the identity: attention shifts to the prompts at once.

    Attributes:
        tokens: prompts a block.
    """

    name = "vpt"
    idea = "Every self-attention also looks at a few learned tokens of its block."
    paper = Paper(
        "Visual Prompt Tuning",
        "Jia et al.",
        "ECCV 2022",
        "@inproceedings{jia2022visual, title={Visual Prompt Tuning}, author={Jia, Menglin and Tang, Luming and "
        "Chen, Bor-Chun and Cardie, Claire and Belongie, Serge and Hariharan, Bharath and Lim, Ser-Nam}, "
        "booktitle={ECCV}, year={2022}}",
        "CC BY-NC 4.0",
    )
    identity = False
    size = "tokens"

    tokens: int = 8

    def adapt(self, backbone: Backbone) -> None:
        """Give the self-attention of each block over tokens prompts; a decoder's cross-attention gets none."""
        for block in backbone.blocks():
            if block.mixer.takes_prompts:
                bound = (6 / (3 * block.patch**2 + block.width)) ** 0.5
                block.mixer.prompt(Prompts(self.tokens, block.width, bound))

    def supports(self, backbone: Backbone) -> str | None:
        """Return a reason where no block attends over tokens: prompts are tokens among tokens."""
        takes = any(block.mixer.takes_prompts for block in backbone.blocks())
        return None if takes else f"{backbone.name} has no tokens that prompts could join"

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """The AdaptIR paper's settings."""
        note = "derived: 64 prompts in each of 24 layers; 128 in 12 of them give the same count"
        settings = {
            "ipt": [Published(cls(tokens=64), "884K", note)],
            "edt-b": [Published(cls(tokens=48), "311K", "derived: 48 prompts in each of 36 blocks")],
        }
        return settings.get(backbone, [])
