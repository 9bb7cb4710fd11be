"""Restore images of any size with a network: whole if memory allows, otherwise in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
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
from petlir.benchmark.method import ImageRouter
from petlir.benchmark.restoration.peak_memory import LiveBytes
from petlir.benchmark.restoration.self_ensemble import eightfold
from petlir.benchmark.restoration.tiling import TILES_AT_ONCE, Forward, blend, chop, evenly, flipped, pad_to

TILINGS = ("default", "official", "whole")
WAYS = ("default", "whole", "chop", "extra-window")
"""The resolved tilings; `official` resolves to the tiling declared by the backbone."""
WINDOW_OVERLAP = 12
"""Overlap of neighbouring fixed-size windows, in pixels of the degraded image; at most a quarter of a window's side."""
TILE_OVERLAP = 32
"""Overlap of neighbouring tiles, in pixels of the degraded image, for networks without a fixed window.

The overlap is at most a quarter of a tile's side.
"""
LEFT = 1 / 3
"""The outer fraction of a tile's overlap in which only the neighbouring tile is used.

A tile is least accurate at its edge. The fraction applies to networks without a fixed window.
"""
MEMORY_BYTES = 2 * 2**30
"""The default memory limit for the tensors of one forward pass, on CPU and GPU."""
BYTES_PER_PIXEL = 32 * 2**10
"""An upper bound on the bytes per output pixel that any built-in network needs.

If images stay within the memory limit even at this bound, memory is not measured.
"""
BATCH_PIXELS = 2**19
"""The maximum number of input pixels in a group of images that are restored together, so that tiles of different images
share forward passes.
"""
PROBE = 24
"""The minimum side of a tile, and of the crop on which memory is measured."""


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

    By default, a network with a fixed window processes an image window by window, and images smaller than a window are
    padded by reflection. A network without a fixed window processes the whole image if a forward pass stays within
    `memory_bytes`, and tiles otherwise. Blending weights rise linearly over the overlap of two tiles to avoid seams.
    For a network without a fixed window, a tile has weight 0 in the outer third of the overlap, where only its
    neighbour is used. If the receptive field of the network extends no further than this outer third, tiles give the
    same result as the whole image.

    Memory is assumed to be proportional to the number of pixels. The memory per pixel is measured on one small crop,
    unless the images stay within the memory limit at `BYTES_PER_PIXEL` bytes per output pixel. Input images, restored
    images and internal allocations of kernels need additional memory; on a CPU, the memory of a process was measured to
    grow by up to 1.7 times the limit.

    Args:
        network: the backbone, adapted or not.
        images: N×3×H×W in [0, 1].
        head: the head to use; may be omitted if there is only one.
        tiling: `default`, `official` (as in the network's own code) or `whole` (one forward pass).
        tile: side of a tile, a multiple of `network.multiple(head)`; None for the whole image or, if it exceeds the
            memory limit, the largest tile within the limit.
        overlap: overlap of neighbouring tiles in pixels; None for the default, which is 12 between fixed windows and 32
            between other tiles, but at most a quarter of the tile's side.
        memory_bytes: memory limit for the tensors of a forward pass of a network without a fixed window; fixed windows
            are processed 16 at a time.

    Returns:
        N×3×sH×sW, not clipped, where s is the scale of the head.

    Raises:
        PetlirError: the head or tiling is unknown or does not support this image size, `tile` or `overlap` does not fit
            the network, or the smallest tile exceeds the memory limit.
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
    """Return the result of `restore`, with gradients if any parameter is trainable."""
    once = partial(_restored, network, tiling=tiling, tile=tile, overlap=overlap, memory_bytes=memory_bytes)
    router = next((module for module in network.children() if isinstance(module, ImageRouter)), None)
    if router is None:
        return once(images, head)
    return torch.cat([_routed(once, router.passes(network, image, head), image) for image in images.chunk(len(images))])


def _routed(once: Callable[[Tensor, str | None], Tensor], passes: Generator[str | None], image: Tensor) -> Tensor:
    with closing(passes):
        for place, head in enumerate(passes):
            image = once(image.clamp(0, 1) if place else image, head)
    return image


def _restored(
    network: Backbone,
    images: Tensor,
    head: str | None,
    tiling: str,
    *,
    tile: int | None,
    overlap: int | None,
    memory_bytes: int,
) -> Tensor:
    scale = list(network.heads.values())[network.head_index(head)]
    height, width = images.shape[-2:]
    way = check(network, height, width, tiling)
    if way != "default" and (tile, overlap) != (None, None):
        raise PetlirError(f"tiling {tiling!r} defines its own tiles; tile and overlap are options of 'default'")
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
    """Resolve `tiling` to one of `WAYS` for a network and an image size.

    Raises:
        PetlirError: the tiling is unknown, or does not support this image size.
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
    """The size, overlap and batching of tiles.

    Attributes:
        side: side of a tile.
        overlap: minimum overlap of neighbouring tiles in pixels.
        left: outer fraction of the overlap in which only the neighbouring tile is used.
        at_once: number of tiles per forward pass.
    """

    side: int
    overlap: int
    left: float
    at_once: int

    def sharing(self, overlap: int | None) -> Tiles:
        """Return the tiles with the given overlap; unchanged if `overlap` is None."""
        if overlap is None:
            return self
        if not 0 <= overlap < self.side:
            raise PetlirError(f"overlap {overlap} does not fit tiles of {self.side}; expected 0 to {self.side - 1}")
        return replace(self, overlap=overlap)

    def through(self, forward: Forward, images: Tensor, scale: int) -> Tensor:
        """Pass images through a network tile by tile."""
        rows, columns = (evenly(length, self.side, self.overlap, scale, self.left) for length in images.shape[-2:])
        return blend(forward, images, rows, columns, self.at_once)


def _windows(name: str, window: int, tile: int | None) -> Tiles:
    if tile not in (None, window):
        raise PetlirError(f"tile {tile} does not fit {name}; it takes {window}×{window} only")
    return Tiles(window, min(WINDOW_OVERLAP, window // 4), 0, TILES_AT_ONCE)


def _tiles(
    network: Backbone, images: Tensor, head: str | None, scale: int, tile: int | None, memory_bytes: int
) -> Tiles:
    """Return tiles of side `tile`; by default, a single tile or else the largest tiles that fit into memory."""
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
    """Estimate how many pixels a forward pass may process, from the memory measured on a small crop.

    Raises:
        PetlirError: even the small crop exceeds `memory_bytes`.
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
    """Convert an H×W×3 image on the scale 0..255 to a 1×3×H×W batch on the scale 0..1."""
    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float() / 255


def to_image(batch: Tensor) -> Image:
    """Convert a 1×3×H×W batch to an 8-bit image, clipped and rounded."""
    rounded = (batch[0].clamp(0, 1) * 255).round().to(torch.uint8)
    image: Image = np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())
    return image


def restore_image(
    network: Backbone, image: Degraded, heads: Sequence[str], tiling: str = "default", tile: int | None = None
) -> Image:
    """Restore an image through `heads` in sequence; intermediate results are clipped but not rounded."""
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
    """Yield each image restored through `heads`, as a 1×3×H×W tensor on the network's device, not clipped or rounded.

    Consecutive images of equal size are restored together, so that their tiles share forward passes.

    Args:
        network: the backbone.
        images: the degraded images.
        heads: heads that an image passes through, in sequence.
        tiling: as in `restore`.
        tile: as in `restore`.
        ensemble: whether to average over the eight flips and rotations of an image.
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
    """Restore N×3×H×W images in [0, 1] through `heads` in sequence; clip intermediate results, but not the last one."""
    for place, head in enumerate(heads):
        images = restore(network, images.clamp(0, 1) if place else images, head, tiling, tile=tile)
    return images
