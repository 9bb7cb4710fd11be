"""Networks whose output has the size of their input; for super-resolution, the input is first enlarged bicubically."""

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
"""The scale of each head; all heads share their weights, and in reports the head's name shows any enlargement."""


class SizePreserving(Backbone):
    """A network whose output has the size of its input, with the same weights for all heads.

    A head such as `enlarged_x4` first enlarges its input with MATLAB's bicubic filter. The default head is `restore`.
    """

    window = None
    sees_whole: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.heads = name, dict(HEADS)

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore N×3×H×W images in [0, 1] of any size through `head`, of scale s, to N×3×sH×sW, not clipped."""
        images = enlarge(images, list(self.heads.values())[self.head_index(head)])
        padded = self.pad(images)
        if images.device.type == "cpu":  # on a CPU, norms and convolutions are faster with channels last
            padded = padded.contiguous(memory_format=torch.channels_last)
        return self.restore(padded)[..., : images.shape[-2], : images.shape[-1]]

    @abstractmethod
    def pad(self, images: Tensor) -> Tensor:
        """Pad the images until both sides are multiples of `multiple(None)`."""

    @abstractmethod
    def restore(self, images: Tensor) -> Tensor:
        """Restore padded images."""

    def input_note(self, head: str) -> str:
        """Return a note on the enlargement of the input."""
        scale = self.heads[head]
        return f"input enlarged ×{scale} bicubically" if scale > 1 else ""

    def head_index(self, head: str | None) -> int:
        """Return the index of `head`, or of `restore` by default."""
        return super().head_index(head or "restore")

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield all parameters, for any head."""
        yield from self.parameters()

    def missing(self, images: Tensor) -> tuple[int, int]:
        """Return the numbers of rows and columns to add so that both sides become multiples of `multiple(None)`."""
        step = self.multiple(None)
        return -images.shape[-2] % step, -images.shape[-1] % step


def enlarge(images: Tensor, scale: int) -> Tensor:
    """Enlarge N×C×H×W images by `scale` with MATLAB's bicubic filter, without rounding or clipping of overshoots."""
    if scale == 1:
        return images
    rows, columns = (torch.from_numpy(_matrix(side, scale)).to(images) for side in images.shape[-2:])
    return rows @ images @ columns.T


@lru_cache(maxsize=8)
def _matrix(side: int, scale: int) -> NDArray[np.float64]:
    """Return the (scale·side)×side matrix that enlarges an axis of length `side`."""
    matrix: NDArray[np.float64] = axis_weights(side, side * scale, scale).toarray()
    return matrix
