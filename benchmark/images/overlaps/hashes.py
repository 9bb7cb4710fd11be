"""Search for similar hashes without comparing all pairs of hashes."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.images.overlaps.blobs import Codes

BANDS = 4
NEAR = 10
"""The maximum number of bits, out of 64, in which similar hashes differ."""
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Indices of the query hashes and of their matches."""


class HashIndex:
    """Hashes sorted by each of their four 16-bit bands; similar hashes usually agree in at least one band.

    Args:
        codes: N hashes.
    """

    def __init__(self, codes: Codes) -> None:
        self._codes = codes
        bands = _bands(codes)
        self._orders = [np.argsort(bands[:, band], kind="stable") for band in range(BANDS)]
        self._sorted = [bands[order, band] for band, order in enumerate(self._orders)]

    def near(self, codes: Codes) -> Pairs:
        """Return the indices of similar hashes in `codes` and in this index that share a band, without duplicates."""
        found = [self._sharing(codes, band) for band in range(BANDS)]
        sought, there = (np.concatenate(parts) for parts in zip(*found, strict=True))
        once = np.unique(sought * np.intp(max(1, len(self._codes))) + there)
        return once // max(1, len(self._codes)), once % max(1, len(self._codes))

    def _sharing(self, codes: Codes, band: int) -> Pairs:
        wanted = _bands(codes)[:, band]
        first, last = (np.searchsorted(self._sorted[band], wanted, side) for side in ("left", "right"))
        counts = last - first
        sought = np.repeat(np.arange(len(codes)), counts)
        rank = np.arange(len(sought)) - np.repeat(np.cumsum(counts) - counts, counts)
        there = self._orders[band][rank + np.repeat(first, counts)]
        near = distance(codes[sought], self._codes[there]) <= NEAR
        return sought[near], there[near]


def distance(first: Codes, second: Codes) -> NDArray[np.intp]:
    """Return the number of differing bits of each pair of hashes."""
    total: NDArray[np.intp] = _bit_counts()[_bands(first ^ second)].sum(axis=1, dtype=np.intp)
    return total


def _bands(codes: Codes) -> NDArray[np.uint16]:
    return codes.view(np.uint16).reshape(len(codes), BANDS)


@cache
def _bit_counts() -> NDArray[np.uint8]:
    """Return the number of set bits of each 16-bit number."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    counts: NDArray[np.uint8] = np.unpackbits(numbers, axis=1).sum(axis=1, dtype=np.uint8)
    return counts
