"""VPT: learned tokens in every self-attention layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method, Paper, Published


class Prompts(nn.Module):
    """K×C learned tokens, with initial values drawn uniformly from [-`bound`, `bound`]."""

    def __init__(self, tokens: int, width: int, bound: float) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(tokens, width).uniform_(-bound, bound))

    def forward(self) -> Tensor:
        """Return the tokens."""
        return self.tokens


@dataclass(frozen=True)
class VPT(Method):
    """VPT-deep: each block's own prompts join the tokens before the block and are removed after it.

    A prompt affects the other tokens only through self-attention, and the block's output at the prompt is discarded.
    petlir therefore does not compute the output at a prompt: the keys and values of the normed prompts are appended to
    the keys and values of the tokens, which gives the same function at lower cost. In a decoder, no query embedding is
    added to the prompts, and the memory does not contain prompts; in windowed attention, every window has the same
    prompts. EDT's positional convolution of the values leaves the prompts out. Blocks whose attention is between
    channels have no tokens and get no prompts; in DAT, therefore, only blocks with window attention have prompts.

    Source: Jia et al., Visual Prompt Tuning, ECCV 2022, §3.2, eq. 5, with the initialisation of the authors' code
    and without dropout. The adapted network initially differs from the frozen one, since its tokens attend to the
    prompts from the start.

    Attributes:
        tokens: number of prompts per block.
    """

    name = "vpt"
    idea = "Every self-attention layer also attends to a few learned tokens of its block."
    paper = Paper.from_bib(__file__, "jia2022visual", licence="CC BY-NC 4.0")
    identity = False
    size = "tokens"

    tokens: int = 8

    def adapt(self, backbone: Backbone) -> None:
        """Add prompts to each block whose self-attention is over tokens, but not to a decoder's cross-attention."""
        for block in backbone.blocks():
            if block.mixer.takes_prompts:
                bound = (6 / (3 * block.patch**2 + block.width)) ** 0.5
                block.mixer.prompt(Prompts(self.tokens, block.width, bound))

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if no block attends over tokens, otherwise None."""
        takes = any(block.mixer.takes_prompts for block in backbone.blocks())
        return None if takes else f"{backbone.name} has no tokens that prompts could join"

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return VPT's configurations in the AdaptIR paper."""
        note = "derived: 64 prompts in each of 24 layers; 128 in 12 of them give the same count"
        settings = {
            "ipt": [Published(cls(tokens=64), "884K", note)],
            "edt-b": [Published(cls(tokens=48), "311K", "derived: 48 prompts in each of 36 blocks")],
        }
        return settings.get(backbone, [])
