"""Crops of images, cut on the GPU if all images fit into a fraction of its free memory, otherwise on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from petlir.benchmark.degradation import Image

SHARE = 0.25
"""The maximum fraction of free GPU memory that the images of a training run may occupy."""

T = TypeVar("T", bound=np.generic)


class Crop(NamedTuple):
    """A square crop: index of the image, top left corner, quarter turns counter-clockwise, then mirroring."""

    image: int
    top: int
    left: int
    turn: int
    flip: bool

    def scaled(self, scale: int) -> Crop:
        """Return the corresponding crop of an image that is `scale` times larger."""
        return self._replace(top=self.top * scale, left=self.left * scale)


Cut = Callable[[Sequence[Crop], int], Tensor]
"""A function: (N crops, their side length S) → N×3×S×S uint8, on the device."""


def cut_from(images: Sequence[Image], device: torch.device) -> Cut:
    """Return a function that cuts crops out of `images`, H×W×3 each; on every device, the crops are identical."""
    if device.type == "cuda" and sum(image.size for image in images) <= SHARE * torch.cuda.mem_get_info(device)[0]:
        return Resident(images, device)
    return Hosted(images, device)


class Hosted:
    """Images that remain in host memory or a mapped file; crops are copied to the device as bytes."""

    def __init__(self, images: Sequence[Image], device: torch.device) -> None:
        self._images, self._device = images, device

    def __call__(self, crops: Sequence[Crop], side: int) -> Tensor:
        """Cut the crops."""
        batch = np.empty((len(crops), side, side, 3), np.uint8)
        for slot, crop in zip(batch, crops, strict=True):
            square = self._images[crop.image][crop.top : crop.top + side, crop.left : crop.left + side]
            slot[:] = _oriented(square, crop.turn, crop.flip)
        return torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2)


class Resident:
    """Images concatenated on the device; all crops of a batch are gathered at once by index."""

    def __init__(self, images: Sequence[Image], device: torch.device) -> None:
        sizes = [image.shape[0] * image.shape[1] for image in images]
        self._pixels = torch.empty((sum(sizes), 3), dtype=torch.uint8, device=device)
        for part, image in zip(torch.split(self._pixels, sizes), images, strict=True):
            part.copy_(torch.from_numpy(np.array(image)).reshape(-1, 3))
        self._starts = np.cumsum([0, *sizes[:-1]])
        self._widths = np.array([image.shape[1] for image in images])

    def __call__(self, crops: Sequence[Crop], side: int) -> Tensor:
        """Cut the crops."""
        image, top, left, turn, flip = np.array(crops).T
        corner = self._starts[image] + top * self._widths[image] + left
        moved = np.stack([corner, self._widths[image], turn + 4 * flip])
        corners, widths, orientations = torch.from_numpy(moved).to(self._pixels.device)[:, :, None, None]
        rows, columns = _sources(side, self._pixels.device)[:, orientations.flatten()]
        return self._pixels[corners + rows * widths + columns].permute(0, 3, 1, 2)


def _oriented(square: NDArray[T], turn: int, flip: bool) -> NDArray[T]:
    turned = np.rot90(square, turn)
    return turned[:, ::-1] if flip else turned


@lru_cache(maxsize=8)
def _sources(side: int, device: torch.device) -> Tensor:
    """Return the source row and column of each pixel of a crop, in all eight orientations: 2×8×S×S."""
    both = [
        [_oriented(axis, turn, flip) for flip in (False, True) for turn in range(4)]
        for axis in np.indices((side, side))
    ]
    return torch.from_numpy(np.array(both)).to(device)
