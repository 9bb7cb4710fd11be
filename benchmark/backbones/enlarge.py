"""Networks that keep the size of their input, and the bicubic enlargement before them where a task has a scale."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.degradations.resize import axis_weights

HEADS = {"restore": 1, "enlarged_x2": 2, "enlarged_x3": 3, "enlarged_x4": 4}
"""One set of weights behind four names, so that every column says where the input was enlarged first."""


class SizePreserving(Backbone):
    """A network with one set of weights, whose output is as large as what it reads.

    A head `enlarged_x4` enlarges its input by MATLAB's bicubic first; without a name, the head is `restore`.
    """

    window = None
    sees_whole: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.heads = name, dict(HEADS)

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore images N×3×H×W in [0, 1] of any size; N×3×sH×sW, not clipped, s the scale of `head`."""
        images = enlarge(images, list(self.heads.values())[self.head_index(head)])
        padded = self.pad(images)
        if images.device.type == "cpu":  # where norms and convolutions are faster with the channels last
            padded = padded.contiguous(memory_format=torch.channels_last)
        return self.restore(padded)[..., : images.shape[-2], : images.shape[-1]]

    @abstractmethod
    def pad(self, images: Tensor) -> Tensor:
        """The images with sides that are multiples of `multiple`."""

    @abstractmethod
    def restore(self, images: Tensor) -> Tensor:
        """Restore images with such sides."""

    def input_note(self, head: str) -> str:
        """How much the input is enlarged."""
        scale = self.heads[head]
        return f"input enlarged ×{scale} bicubically" if scale > 1 else ""

    def head_index(self, head: str | None) -> int:
        """Where `head`, or else `restore`, stands among the heads."""
        return super().head_index(head or "restore")

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """All parameters, whatever the head."""
        yield from self.parameters()

    def missing(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns up to the next multiples."""
        step = self.multiple(None)
        return -images.shape[-2] % step, -images.shape[-1] % step


def enlarge(images: Tensor, scale: int) -> Tensor:
    """Images N×C×H×W, `scale` times larger by MATLAB's bicubic; neither rounded nor clipped, so it may overshoot."""
    if scale == 1:
        return images
    rows, columns = (torch.from_numpy(_matrix(side, scale)).to(images) for side in images.shape[-2:])
    return rows @ images @ columns.T


@lru_cache(maxsize=8)
def _matrix(side: int, scale: int) -> NDArray[np.float64]:
    """The enlarging of one axis as a matrix, scale·side × side."""
    matrix: NDArray[np.float64] = axis_weights(side, side * scale, scale).toarray()
    return matrix
