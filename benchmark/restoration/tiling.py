"""Cuts images into overlapping tiles, and puts what became of the tiles together again.

Nothing here knows a network; `Forward` maps tiles M×3×h×w to M×3×sh×sw, s being the scale.
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
"""Tiles of one forward pass, where nothing else is said."""
CPU_PIXELS = 8 * 48**2
"""Input pixels of one forward pass of several tiles on a CPU, whose caches hold no more."""


@dataclass(frozen=True)
class Axis:
    """How tiles stand along one side of an image.

    Attributes:
        starts: where they begin, the first at 0.
        side: how long each of them is.
        scale: how much longer its restored counterpart is.
        edge: weights, over output pixels, of a tile's edge towards a neighbour, from the outside in.
    """

    starts: Sequence[int]
    side: int
    scale: int
    edge: Tensor = field(repr=False)

    @property
    def length(self) -> int:
        """How much of the output the tiles cover."""
        return (self.starts[-1] + self.side) * self.scale

    def area(self, tile: int) -> slice:
        """Where a restored tile lies in the output."""
        return slice(self.starts[tile] * self.scale, (self.starts[tile] + self.side) * self.scale)

    def weights(self) -> Tensor:
        """How much each tile counts at each of its output pixels; at every output pixel they sum to 1."""
        ends = len(self.edge)
        weights = torch.ones(len(self.starts), self.side * self.scale)
        weights[1:, :ends] *= self.edge
        weights[:-1, weights.shape[1] - ends :] *= self.edge.flip(0)
        total = torch.zeros(self.length)
        for tile, own in enumerate(weights):
            total[self.area(tile)] += own
        return torch.stack([own / total[self.area(tile)] for tile, own in enumerate(weights)])


def evenly(length: int, side: int, overlap: int, scale: int, left: float) -> Axis:
    """As few tiles as cover `length` pixels and share `overlap` at least, evenly spread; one where they are longer.

    The outer share `left` (0 to below 1/2) of the overlap is left to the neighbour; in the rest the weights rise
    linearly.
    """
    side = min(side, length)
    overlap = min(overlap, side - 1)
    count = 1 + -(-(length - side) // (side - overlap))
    starts = [round(place) for place in np.linspace(0, length - side, count)]
    shared, margin = overlap * scale, int(overlap * scale * left)
    rising = (torch.arange(1, shared + 1) - margin) / (shared + 1 - 2 * margin)
    return Axis(starts, side, scale, rising.clamp(0, 1))


def blend(forward: Forward, images: Tensor, rows: Axis, columns: Axis, at_once: int = TILES_AT_ONCE) -> Tensor:
    """The weighted sum of the restored tiles of N images.

    At most `at_once` of them, whatever their image, go through in one forward pass; fewer on a CPU if they are large.
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
    """The inference that IPT was published with, on images as large as a window at least.

    Windows stand at a quarter of their side; the inner half of each is kept, and what several keep is averaged. Windows
    that do not fit in leave a remainder at the bottom and the right. So the strips along the four borders go through
    the network again, the last two with the remainder, and the bottom right corner once more. Bottom and right are
    joined where the inner half of their windows begins, half the remainder further in. Where the top and the left
    strip meet, the left one stands.

    For h×w windows in the grid, the network sees h·w + 2h + 2w + 1; published counts agree (321×481: 972).
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
    """Windows at a quarter of their side: inner halves averaged, the border from the outermost; no remainder."""
    dropped = torch.zeros(window // 4 * scale)
    rows, columns = (
        Axis(range(0, length - window + 1, window // 4), window, scale, dropped) for length in images.shape[-2:]
    )
    return blend(forward, images, rows, columns)


def _join(first: Tensor, last: Tensor, length: int, axis: int) -> Tensor:
    """One image of `length` from its beginning and its end, cut in the middle of what they share."""
    shared = first.shape[axis] + last.shape[axis] - length
    ahead = first.narrow(axis, 0, first.shape[axis] - shared // 2)
    rest = length - ahead.shape[axis]
    return torch.cat([ahead, last.narrow(axis, last.shape[axis] - rest, rest)], axis)


def pad_to(images: Tensor, side: int) -> Tensor:
    """Images at least `side` high and wide, mirrored about the last row and column as often as it takes."""
    return _mirrored(images, max(images.shape[-2], side), max(images.shape[-1], side), twice=0)


def flipped(images: Tensor, height: int, width: int) -> Tensor:
    """Images of height×width, followed by their mirror image (its first row and column are the last again)."""
    return _mirrored(images, height, width, twice=1)


def _mirrored(images: Tensor, height: int, width: int, twice: int) -> Tensor:
    for axis, length in ((-2, height), (-1, width)):
        last = 2 * (images.shape[axis] - 1) + twice
        steps = torch.arange(length, device=images.device) % max(1, last + twice)
        images = images.index_select(axis, torch.minimum(steps, last - steps))
    return images
