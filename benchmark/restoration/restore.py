"""Puts images of any size through a network: whole where memory allows, else in overlapping tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from math import isqrt, prod

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.degradation import Degraded, Image
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.restoration.peak_memory import LiveBytes
from petlir.benchmark.restoration.self_ensemble import eightfold
from petlir.benchmark.restoration.tiling import TILES_AT_ONCE, Forward, blend, chop, evenly, flipped, pad_to

TILINGS = ("default", "official", "whole")
WAYS = ("default", "whole", "chop", "extra-window")
"""What a tiling comes down to; `official` is the one that the backbone names."""
WINDOW_OVERLAP = 12
"""Pixels that neighbouring windows of a fixed size share on the degraded side; a quarter of a smaller window."""
TILE_OVERLAP = 32
"""Pixels that neighbouring tiles share where their size is free; a quarter of a smaller tile."""
LEFT = 1 / 3
"""The outer share of a free tile's overlap that is left to its neighbour: a tile is at its worst at its edge."""
MEMORY_BYTES = 2 * 2**30
"""What the tensors of one forward pass may take, on a CPU as on a GPU."""
BYTES_PER_PIXEL = 32 * 2**10
"""More than any network here takes for a pixel of its output; what fits even so is not measured."""
BATCH_PIXELS = 2**19
"""Input pixels of the images that are restored together, so that their tiles share forward passes."""
PROBE = 24
"""The least side of a tile, and of the crop on which memory is measured."""


@torch.no_grad()
def restore(
    network: Backbone,
    images: Tensor,
    head: str | None = None,
    tiling: str = "default",
    *,
    tile: int | None = None,
    overlap: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Tensor:
    """Restore images of any size.

    By default a network of one window size gets windows, smaller images being reflected, and any other the whole image
    while a forward pass stays within `memory_bytes`, else tiles. Weights rise linearly over the overlap, so that no
    seam shows; a free tile leaves the outer third of it to its neighbour. A network that sees no further than that
    third makes of tiles what it makes of the whole.

    Memory is taken to grow with the number of pixels. It is measured on one small crop; images that would fit at
    `BYTES_PER_PIXEL` are not measured. Images, result and what kernels allocate for themselves come on top; on a CPU a
    process grew by 1.7 times the budget.

    Args:
        network: the backbone, adapted or not.
        images: N×3×H×W in [0, 1].
        head: the head to use; may be left out where there is one.
        tiling: `default`, `official` (as the network's own code does) or `whole` (one forward pass).
        tile: side of a tile, a multiple of what the network pads to; None for the largest that fits in memory.
        overlap: pixels that neighbouring tiles share; None for 12 of a fixed window, 32 of a tile, at most a quarter.
        memory_bytes: what the tensors of a forward pass may take, for networks of any input size; windows of a fixed
            size come 16 at once.

    Returns:
        N×3×sH×sW, not clipped, s the scale of the head.

    Raises:
        PetlirError: there is no such head or tiling, it does not take images of this size, `tile` or `overlap` does
            not fit the network, or not even the least tile fits in memory.
    """
    return restored(network, images, head, tiling, tile=tile, overlap=overlap, memory_bytes=memory_bytes)


def restored(
    network: Backbone,
    images: Tensor,
    head: str | None = None,
    tiling: str = "default",
    *,
    tile: int | None = None,
    overlap: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Tensor:
    """What `restore` returns, with gradients where there is something to train."""
    scale = list(network.heads.values())[network.head_index(head)]
    height, width = images.shape[-2:]
    way = check(network, height, width, tiling)
    if way != "default" and (tile, overlap) != (None, None):
        raise PetlirError(f"tiling {tiling!r} has tiles of its own; tile and overlap belong to 'default'")
    forward = partial(network, head=head)
    match way, network.window:
        case "chop", int(window):
            output = chop(forward, images, window, scale)
        case "extra-window", _:
            step = network.multiple(head)
            output = forward(flipped(images, (height // step + 1) * step, (width // step + 1) * step))
        case "default", int(window):
            tiles = _windows(network.name, window, tile).sharing(overlap)
            output = tiles.through(forward, pad_to(images, window), scale)
        case "default", _:
            tiles = _tiles(network, images, head, scale, tile, memory_bytes).sharing(overlap)
            output = tiles.through(forward, images, scale)
        case _:
            output = forward(images)
    return output[..., : height * scale, : width * scale]


def check(network: Backbone, height: int, width: int, tiling: str) -> str:
    """What `tiling` comes down to for this network.

    Raises:
        PetlirError: there is no such tiling, or it does not take images of this size.
    """
    if tiling not in TILINGS:
        raise unknown("tiling", tiling, TILINGS)
    way = network.official_tiling if tiling == "official" else tiling
    if way not in WAYS:
        raise unknown(f"official tiling of {network.name}", way, WAYS)
    window, size = network.window, f"{width}×{height}"
    if window is None:
        return way
    if min(height, width) < 2:
        raise PetlirError(f"an image of {size} is too small to restore; 2×2 at least")
    if way == "chop" and min(height, width) < window:
        raise PetlirError(f"the official tiling of {network.name} takes {window}×{window} at least, got {size}")
    if way == "whole" and (height, width) != (window, window):
        raise PetlirError(f"{network.name} takes {window}×{window} only, got {size}; tiling 'default' takes any size")
    return way


@dataclass(frozen=True)
class Tiles:
    """How images are cut.

    Attributes:
        side: of a tile.
        overlap: pixels that neighbours share at least.
        left: the outer share of the overlap that is left to the neighbour.
        at_once: how many go through the network in one pass.
    """

    side: int
    overlap: int
    left: float
    at_once: int

    def sharing(self, overlap: int | None) -> Tiles:
        """The same tiles with another overlap, where one is given."""
        if overlap is None:
            return self
        if not 0 <= overlap < self.side:
            raise PetlirError(f"overlap {overlap} does not fit tiles of {self.side}; expected 0 to {self.side - 1}")
        return replace(self, overlap=overlap)

    def through(self, forward: Forward, images: Tensor, scale: int) -> Tensor:
        """Images through a network, cut so."""
        rows, columns = (evenly(length, self.side, self.overlap, scale, self.left) for length in images.shape[-2:])
        return blend(forward, images, rows, columns, self.at_once)


def _windows(name: str, window: int, tile: int | None) -> Tiles:
    if tile not in (None, window):
        raise PetlirError(f"tile {tile} does not fit {name}; it takes {window}×{window} only")
    return Tiles(window, min(WINDOW_OVERLAP, window // 4), 0, TILES_AT_ONCE)


def _tiles(
    network: Backbone, images: Tensor, head: str | None, scale: int, tile: int | None, memory_bytes: int
) -> Tiles:
    """The whole image where it fits, else the largest tile that does, unless the tile is given."""
    multiple = network.multiple(head)
    if tile is not None and (tile < 1 or tile % multiple):
        raise PetlirError(f"tile {tile} does not fit {network.name}; expected a multiple of {multiple}")
    area = prod(_up(length, multiple) for length in images.shape[-2:])
    pixels = memory_bytes // (BYTES_PER_PIXEL * scale**2)
    if tile is None and area > pixels:
        pixels = _pixels_within(memory_bytes, network, images, head)
    side = tile or (max(images.shape[-2:]) if area <= pixels else isqrt(pixels) // multiple * multiple)
    return Tiles(side, min(TILE_OVERLAP, side // 4), LEFT, max(1, pixels // min(area, side**2)))


def _pixels_within(memory_bytes: int, network: Backbone, images: Tensor, head: str | None) -> int:
    """How many pixels a forward pass may hold, measured on a crop.

    Raises:
        PetlirError: not even as many as the crop has.
    """
    side = _up(PROBE, network.multiple(head))
    live = LiveBytes()
    with live:
        network(pad_to(images[:1, :, :side, :side], side), head)
    if live.peak > memory_bytes:
        least = f"a tile of {side}×{side} takes {live.peak}"
        raise PetlirError(f"memory_bytes {memory_bytes} is too little for {network.name}; {least}")
    return memory_bytes * side**2 // live.peak


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def to_batch(image: Degraded, device: torch.device | str = "cpu") -> Tensor:
    """One image H×W×3 on the scale 0..255 as a batch 1×3×H×W on the scale 0..1."""
    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float() / 255


def to_image(batch: Tensor) -> Image:
    """A batch 1×3×H×W as an 8-bit image, clipped and rounded."""
    rounded = (batch[0].clamp(0, 1) * 255).round().to(torch.uint8)
    image: Image = np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())
    return image


def restore_image(
    network: Backbone, image: Degraded, heads: Sequence[str], tiling: str = "default", tile: int | None = None
) -> Image:
    """One image through `heads`, one after the other; between two heads it is clipped, and stays in float."""
    return to_image(next(restore_each(network, [image], heads, tiling, tile)))


def restore_each(
    network: Backbone,
    images: Iterable[Degraded],
    heads: Sequence[str],
    tiling: str = "default",
    tile: int | None = None,
    *,
    ensemble: bool = False,
) -> Iterator[Tensor]:
    """Each image through `heads`, as 1×3×H×W on the network's device, neither clipped nor rounded.

    Neighbours of one size are restored together, so that their tiles share forward passes.

    Args:
        network: the backbone.
        images: the degraded images.
        heads: what an image goes through, one after the other.
        tiling: as in `restore`.
        tile: as in `restore`.
        ensemble: whether to take the mean over the eight flips and rotations of an image.
    """
    through = partial(restore_batch, network, heads=heads, tiling=tiling, tile=tile)
    device = next(network.parameters()).device
    for (height, width), run in groupby(images, lambda image: image.shape[:2]):
        alike = list(run)
        most = max(1, BATCH_PIXELS // (height * width))
        for start in range(0, len(alike), most):
            batch = torch.cat([to_batch(image, device) for image in alike[start : start + most]])
            outputs = eightfold(through, batch) if ensemble else through(batch)
            yield from outputs.chunk(len(batch))


def restore_batch(
    network: Backbone, images: Tensor, heads: Sequence[str], tiling: str = "default", tile: int | None = None
) -> Tensor:
    """Put images N×3×H×W in [0, 1] through `heads`, one after the other; clipped between two heads, not at the end."""
    for place, head in enumerate(heads):
        images = restore(network, images.clamp(0, 1) if place else images, head, tiling, tile=tile)
    return images
