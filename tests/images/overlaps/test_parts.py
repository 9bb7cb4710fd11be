"""Test the parts of the overlap search, each against an independent implementation of the same function."""

from __future__ import annotations

import numpy as np
import pytest

from petlir.benchmark.images.overlaps import blobs
from petlir.benchmark.images.overlaps.blobs import turned
from petlir.benchmark.images.overlaps.fingerprint import fingerprint
from petlir.benchmark.images.overlaps.hashes import NEAR, HashIndex, distance
from petlir.benchmark.images.overlaps.placement import place
from petlir.benchmark.images.overlaps.turns import TURNS
from petlir.benchmark.images.procedural import leaves

BY_NAME = {turn.name: turn for turn in TURNS}


@pytest.mark.parametrize(("name", "quarters", "mirrored"), [
    ("as it is", 0, False), ("rotated by 90°", 1, False), ("rotated by 180°", 2, False), ("rotated by 270°", 3, False),
    ("mirrored", 0, True), ("rotated by 90° and mirrored", 1, True), ("upside down and mirrored", 0, None),
    ("rotated by 270° and mirrored", 3, True),
])  # fmt: skip
def test_turns_do_what_they_are_called(name, quarters, mirrored):
    image = np.arange(15).reshape(3, 5)
    expected = np.rot90(image, -quarters)  # clockwise
    expected = expected[::-1] if mirrored is None else expected[:, ::-1] if mirrored else expected
    if name == "upside down and mirrored":
        assert len({turn(image).tobytes() + bytes(turn(image).shape) for turn in TURNS}) == 8
    assert (BY_NAME[name](image) == expected).all()


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.name)
def test_points_turn_with_their_image(turn):
    image = np.zeros((6, 9))
    image[1, 7] = 1
    (point,) = turn.points(np.array([[7.5, 1.5]]), 9, 6)
    row, column = np.argwhere(turn(image))[0]
    assert tuple(point) == (column + 0.5, row + 0.5)
    assert turn.back(point[None], 9, 6)[0] == pytest.approx((7.5, 1.5))


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.name)
def test_hashes_of_a_turned_image_are_the_turned_hashes(turn):
    grey = leaves(7, 128)[:97, :97].mean(axis=2).astype(np.float32)  # of a size that halves the same from both ends
    found, after = blobs.find(grey), blobs.find(np.ascontiguousarray(turn(grey)))
    assert len(found.codes) > 20
    common = set(turned(found.codes, turn).tolist()) & set(after.codes.tolist())
    assert len(common) >= len(found.codes) - 2  # a difference that is all but zero may take the other sign


def test_the_index_finds_what_comparing_all_with_all_finds():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**63, 300, np.uint64)
    flipped = codes[:50] ^ (np.uint64(1) << rng.integers(0, 16, 50).astype(np.uint64))  # all in one band
    sought, there = HashIndex(codes).near(flipped)
    every = [[bin(int(a ^ b)).count("1") for b in codes] for a in flipped]
    expected = {tuple(pair) for pair in np.argwhere(np.array(every) <= NEAR)}
    assert set(zip(sought.tolist(), there.tolist(), strict=True)) == expected
    assert (distance(flipped, codes[:50]) == 1).all()
    assert all(len(side) == 0 for side in HashIndex(codes[:0]).near(flipped))


def test_a_placement_is_found_among_chance_pairs():
    rng = np.random.default_rng(1)
    points, scales = rng.uniform(0, 300, (60, 2)), rng.uniform(2, 6, 60)
    there, scales_there = 0.7 * points + (20, -5), 0.7 * scales
    there[:30] = rng.uniform(0, 300, (30, 2))
    found = place(points, scales, there, scales_there)
    assert found is not None
    assert (found.scale, *found.shift) == pytest.approx((0.7, 20, -5), abs=1e-6)
    assert found.support > 20
    assert place(points[:30], scales[:30], there[:30], rng.uniform(1, 9, 30)) is None


def test_images_without_anything_in_them_have_fingerprints():
    for shape in ((1, 1, 3), (5, 700, 3), (40, 40, 3)):
        plain = fingerprint(np.full(shape, 90, np.uint8))
        assert len(plain.blobs.codes) == 0
        assert not plain.view(plain.whole).any()
