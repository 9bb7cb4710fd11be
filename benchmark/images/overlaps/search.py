"""Search for images of one list in another list, even if they are rotated, cropped, resized, compressed or rainy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from petlir.benchmark.images.overlaps.blobs import turned
from petlir.benchmark.images.overlaps.fingerprint import Box, Fingerprint
from petlir.benchmark.images.overlaps.hashes import HashIndex, Pairs
from petlir.benchmark.images.overlaps.placement import SUPPORT, Placement, place
from petlir.benchmark.images.overlaps.turns import TURNS, Points, Turn

ALIKE = 0.45
"""The minimum correlation at which two images count as the same image."""


@dataclass(frozen=True)
class Match:
    """An image that another image contains, at least in part.

    Attributes:
        image: index of the image.
        found_in: index of the other image.
        turn: flip or rotation that aligns the image with the other image.
        scale: pixels of the other image per pixel of the image.
        share: fraction of the image's area that the other image contains.
        share_of_other: fraction of the other image's area that the image contains.
        likeness: correlation of both images over their common area.
    """

    image: int
    found_in: int
    turn: Turn
    scale: float
    share: float
    share_of_other: float
    likeness: float

    @property
    def equal(self) -> bool:
        """True if both images have the same orientation, size and content."""
        return (self.turn, self.scale, self.share, self.share_of_other, self.likeness) == (TURNS[0], 1, 1, 1, 1)


def search(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> list[Match]:
    """Return the best match of each pair of images that share content, in the order of both lists."""
    best: dict[tuple[int, int], Match] = {}
    for match in (*_equal(images, others), *_whole(images, others), *_parts(images, others)):
        pair = match.image, match.found_in
        if pair not in best or match.likeness > best[pair].likeness:
            best[pair] = match
    return [best[pair] for pair in sorted(best)]


def _equal(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> Iterator[Match]:
    """Yield matches of images with identical pixels, including constant images, which have no keypoints."""
    places: dict[str, list[int]] = {}
    for place_, other in enumerate(others):
        places.setdefault(other.digest, []).append(place_)
    for number, image in enumerate(images):
        for other_number in places.get(image.digest, []):
            yield Match(number, other_number, TURNS[0], 1.0, 1.0, 1.0, 1.0)


def _whole(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> Iterator[Match]:
    """Yield matches of images that are similar as a whole, even if rain or noise has removed all keypoints."""
    if not images or not others:
        return
    views = np.stack([one.view(one.whole) for one in images])
    there = np.stack([one.view(one.whole) for one in others]).reshape(len(others), -1)
    for turn in TURNS:
        alike = turn(views).reshape(len(images), -1) @ there.T
        for image, other in np.argwhere(alike > ALIKE):
            scale = (others[other].width * others[other].height / (images[image].width * images[image].height)) ** 0.5
            yield Match(int(image), int(other), turn, scale, 1.0, 1.0, min(1.0, float(alike[image, other])))


def _parts(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> Iterator[Match]:
    """Yield matches of images that share an area, found by keypoints with similar hashes and consistent positions."""
    mine, theirs = _Gathered(images), _Gathered(others)
    index = HashIndex(theirs.codes)
    for turn in TURNS:
        for (image, other), (sought, found) in _by_pair(index.near(turned(mine.codes, turn)), mine, theirs):
            one = images[image]
            points = turn.points(mine.points[sought], one.width, one.height)
            placed = place(points, mine.scales[sought], theirs.points[found], theirs.scales[found])
            if placed is not None:
                yield from _checked(image, other, turn, placed, one, others[other])


class _Gathered:
    """The keypoints of several images in one list; `owners` holds the index of each keypoint's image."""

    def __init__(self, images: Sequence[Fingerprint]) -> None:
        blobs = [one.blobs for one in images]
        self.owners = np.repeat(np.arange(len(blobs)), [len(one.codes) for one in blobs])
        self.codes = np.concatenate([np.empty(0, np.uint64), *(one.codes for one in blobs)])
        self.points = np.concatenate([np.empty((0, 2)), *(one.points for one in blobs)])
        self.scales = np.concatenate([np.empty(0), *(one.scales for one in blobs)])


def _by_pair(near: Pairs, mine: _Gathered, theirs: _Gathered) -> Iterator[tuple[tuple[int, int], Pairs]]:
    """Yield the similar hashes of each pair of images that has at least `SUPPORT` similar hashes."""
    sought, found = near
    pairs = mine.owners[sought] * (theirs.owners.max(initial=0) + 1) + theirs.owners[found]
    order = np.argsort(pairs, kind="stable")
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        if len(members) >= SUPPORT:
            pair = int(mine.owners[sought[members[0]]]), int(theirs.owners[found[members[0]]])
            yield pair, (sought[members], found[members])


def _checked(
    image: int, other: int, turn: Turn, placed: Placement, one: Fingerprint, another: Fingerprint
) -> Iterator[Match]:
    """Yield a match if both images are similar in their common area."""
    width, height = turn.size(one.width, one.height)
    (left, top), scale = placed.shift, placed.scale
    there = _overlap((left, top, left + scale * width, top + scale * height), another.whole)
    if there is None:
        return
    corners = (np.array([there[:2], there[2:]]) - placed.shift) / scale
    here = _spanned(turn.back(corners, one.width, one.height))
    likeness = min(1.0, float((turn(one.view(here)) * another.view(there)).sum()))
    if likeness > ALIKE:
        shares = _area(here) / _area(one.whole), _area(there) / _area(another.whole)
        yield Match(image, other, turn, scale, *shares, likeness)


def _overlap(one: Box, other: Box) -> Box | None:
    left, top, right, bottom = (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )
    return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else None


def _spanned(corners: Points) -> Box:
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
