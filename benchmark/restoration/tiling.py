"""Cut images into overlapping tiles and merge the restored tiles.

This module does not depend on the network; `Forward` maps M×3×h×w tiles to M×3×sh×sw tiles, where s is the scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
TILES_AT_ONCE = 16
"""The default number of tiles per forward pass."""
CPU_PIXELS = 8 * 48**2
"""The maximum number of input pixels in a forward pass of several tiles on a CPU, chosen to fit its caches."""


@dataclass(frozen=True)
class TilePositions:
    """The positions of tiles along one side of an image.

    Attributes:
        starts: start positions, the first at 0.
        side: length of each tile.
        scale: upscaling factor of the restored tile.
        edge: weights of the output pixels along a tile's edge that overlaps a neighbouring tile, from the edge inwards.
    """

    starts: Sequence[int]
    side: int
    scale: int
    edge: Tensor = field(repr=False)

    @property
    def length(self) -> int:
        """The length, in output pixels, that the tiles cover."""
        return (self.starts[-1] + self.side) * self.scale

    def area(self, tile: int) -> slice:
        """Return the range of output pixels that a restored tile covers."""
        return slice(self.starts[tile] * self.scale, (self.starts[tile] + self.side) * self.scale)

    def weights(self) -> Tensor:
        """Return the weights of each tile at its output pixels; at every output pixel, the tiles' weights sum to 1."""
        ends = len(self.edge)
        weights = torch.ones(len(self.starts), self.side * self.scale)
        weights[1:, :ends] *= self.edge
        weights[:-1, weights.shape[1] - ends :] *= self.edge.flip(0)
        total = torch.zeros(self.length)
        for tile, own in enumerate(weights):
            total[self.area(tile)] += own
        return torch.stack([own / total[self.area(tile)] for tile, own in enumerate(weights)])


def evenly(length: int, side: int, overlap: int, scale: int, left: float) -> TilePositions:
    """Distribute as few tiles as possible over `length` pixels, with neighbours that overlap by at least `overlap`.

    If `side` exceeds `length`, a single tile of side `length` is used. In the outer fraction `left` (0 to below 1/2) of
    the overlap, a tile has weight 0 and only its neighbour is used; in the rest, the weights rise linearly.
    """
    side = min(side, length)
    overlap = min(overlap, side - 1)
    count = 1 + -(-(length - side) // (side - overlap))
    starts = [round(place) for place in np.linspace(0, length - side, count)]
    shared, margin = overlap * scale, int(overlap * scale * left)
    rising = (torch.arange(1, shared + 1) - margin) / (shared + 1 - 2 * margin)
    return TilePositions(starts, side, scale, rising.clamp(0, 1))


def blend(
    forward: Forward, images: Tensor, rows: TilePositions, columns: TilePositions, at_once: int = TILES_AT_ONCE
) -> Tensor:
    """Return the weighted sum of the restored tiles of N images.

    A forward pass processes at most `at_once` tiles, from any of the images; on a CPU, fewer if the tiles are large.
    """
    count, channels = images.shape[:2]
    if images.device.type == "cpu":
        at_once = min(at_once, max(1, CPU_PIXELS // (rows.side * columns.side)))
    restored = images.new_zeros(count, channels, rows.length, columns.length)
    down, across = (axis.weights().to(images) for axis in (rows, columns))
    places = list(product(range(len(rows.starts)), range(len(columns.starts)), range(count)))
    for start in range(0, len(places), at_once):
        some = places[start : start + at_once]
        corners = ((n, rows.starts[i], columns.starts[j]) for i, j, n in some)
        tiles = torch.stack([images[n, :, y : y + rows.side, x : x + columns.side] for n, y, x in corners])
        for (i, j, n), tile in zip(some, forward(tiles), strict=True):
            restored[n, :, rows.area(i), columns.area(j)] += tile * (down[i, :, None] * across[j])
    return restored


def chop(forward: Forward, images: Tensor, window: int, scale: int) -> Tensor:
    """Apply the published inference scheme of IPT to images at least as large as a window.

    Windows are placed at a stride of a quarter of their side. The inner half of each window's output is kept, and
    overlapping halves are averaged. If the stride does not divide the image evenly, a remainder is left at the bottom
    and the right. The strips along the four borders pass through the network again; the strips at the bottom and the
    right include the remainder. The bottom right corner passes through the network once more. The strips at the bottom
    and the right are joined to the rest of the output in the middle of their overlap. Where the top and the left strip
    meet, the left strip is used.

    For a grid of h×w windows, the network processes h·w + 2h + 2w + 1 windows, which agrees with published counts (972
    for an image of 321×481).
    """
    once = partial(_voted, forward, window=window, scale=scale)
    quarter, whole = window // 4 * scale, window * scale
    inner = once(images)
    grid = inner.clone()
    grid[..., :whole, :] = once(images[..., :window, :])
    grid[..., :, :whole] = once(images[..., :, :window])
    grid[..., quarter:, quarter:] = inner[..., quarter:, quarter:]
    right, corner = once(images[..., -window:]), once(images[..., -window:, -window:])
    height, width = (length * scale for length in images.shape[-2:])
    left = _join(grid, once(images[..., -window:, :]), height, -2)
    return _join(left, _join(right, corner, height, -2), width, -1)


def _voted(forward: Forward, images: Tensor, window: int, scale: int) -> Tensor:
    """Average the inner halves of windows placed at a stride of a quarter of their side.

    The outermost windows also supply the borders. Rows and columns at the end that no window covers are left out.
    """
    dropped = torch.zeros(window // 4 * scale)
    rows, columns = (
        TilePositions(range(0, length - window + 1, window // 4), window, scale, dropped)
        for length in images.shape[-2:]
    )
    return blend(forward, images, rows, columns)


def _join(first: Tensor, last: Tensor, length: int, axis: int) -> Tensor:
    """Join the first and the last part of an image to the given `length`; cut both in the middle of their overlap."""
    shared = first.shape[axis] + last.shape[axis] - length
    ahead = first.narrow(axis, 0, first.shape[axis] - shared // 2)
    rest = length - ahead.shape[axis]
    return torch.cat([ahead, last.narrow(axis, last.shape[axis] - rest, rest)], axis)


def pad_to(images: Tensor, side: int) -> Tensor:
    """Pad images to at least `side` in height and width by mirroring about the last row and column as needed."""
    return _mirrored(images, max(images.shape[-2], side), max(images.shape[-1], side), twice=0)


def flipped(images: Tensor, height: int, width: int) -> Tensor:
    """Pad images to height×width by mirroring them about their edges, so that the last row and column are repeated."""
    return _mirrored(images, height, width, twice=1)


def _mirrored(images: Tensor, height: int, width: int, twice: int) -> Tensor:
    for axis, length in ((-2, height), (-1, width)):
        last = 2 * (images.shape[axis] - 1) + twice
        steps = torch.arange(length, device=images.device) % max(1, last + twice)
        images = images.index_select(axis, torch.minimum(steps, last - steps))
    return images
