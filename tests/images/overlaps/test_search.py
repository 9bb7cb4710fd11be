"""Test that planted overlaps are found and nothing else is, on drawn images and, where available, on real ones."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.degradation import Image
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.overlaps.cached import matches
from petlir.benchmark.images.overlaps.compare import relation
from petlir.benchmark.images.overlaps.fingerprint import fingerprint
from petlir.benchmark.images.overlaps.search import search
from petlir.benchmark.images.overlaps.turns import TURNS
from petlir.benchmark.images.procedural import leaves

RAIN = RainStreaks("light")


def jpeg(image: Image) -> Image:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=20)
    return np.array(PIL.Image.open(file))


def resized(image: Image, factor: float) -> Image:
    height, width = (round(side * factor) for side in image.shape[:2])
    return np.array(PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BICUBIC))


EDITS: dict[str, Callable[[Image], Image]] = {
    "the same": lambda image: image,
    "JPEG": jpeg,
    "3 pixels off": lambda image: image[3:, 2:],
    "cropped to 81 %": lambda image: image[10:-13, 20:-3],
    "cropped to half": lambda image: image[40:200, 70:245],
    "cropped to 30 %": lambda image: image[100:240, 20:160],
    "halved": lambda image: resized(image, 0.5),
    "cropped and enlarged": lambda image: resized(image[30:220, 50:240], 1.3),
    "brighter": lambda image: (image * 0.6 + 90).astype(np.uint8),
    "dark": lambda image: (image * 0.2).astype(np.uint8),
    "noisy": lambda image: (image + np.random.default_rng(0).normal(0, 15, image.shape)).clip(0, 255).astype(np.uint8),
    "rained on": lambda image: RAIN.degrade(image, 3).astype(np.uint8),
}


@pytest.fixture(scope="module")
def drawn() -> list[Image]:
    return [leaves(seed, 256) for seed in range(9000, 9012)]


@pytest.mark.parametrize("edit", EDITS)
def test_planted_images_are_found_both_ways_and_nothing_else(drawn, edit):
    turns = [TURNS[number % 8] for number in range(len(drawn))]
    planted = [
        np.ascontiguousarray(np.stack([turn(channel) for channel in np.moveaxis(EDITS[edit](image), -1, 0)], axis=-1))
        for turn, image in zip(turns, drawn, strict=True)
    ]
    tests, trained = (list(map(fingerprint, images)) for images in (planted, drawn))
    for found in (search(tests, trained), search(trained, tests)):
        assert all(match.image == match.found_in for match in found)
        assert len(found) >= len(drawn) - 1
    back = {match.image: match.turn for match in search(tests, trained)}
    for number, turn in back.items():
        image = np.arange(6).reshape(2, 3)
        assert (turn(turns[number](image)) == image).all()


def test_a_plain_copy_is_found_and_a_plain_other_is_not():
    plain = [fingerprint(np.full((32, 32, 3), level, np.uint8)) for level in (80, 90)]
    (match,) = search(plain[:1], plain)
    assert (match.found_in, match.equal) == (0, True)
    assert search(plain, []) == search([], plain) == []


def test_relations_in_words(drawn):
    whole, part = fingerprint(drawn[0]), fingerprint(np.ascontiguousarray(drawn[0][60:220, 255:60:-1]))
    assert relation(search([whole], [whole])[0]) == "the same image"
    assert relation(search([part], [whole])[0]).endswith("% of it, cropped, mirrored")
    assert "all of it" in relation(search([whole], [part])[0])
    assert relation(search([fingerprint(resized(drawn[0], 0.5))], [whole])[0]) == "the same image, at 0.50 of its size"


def test_drawn_sets_and_photographs_share_nothing():
    sets = [image_set(name).index(None) for name in ("leaves-train", "leaves-test", "leaves-validation", "photographs")]
    assert [matches(one, other) for one in sets for other in sets if one is not other] == [[]] * 12


def test_an_image_of_set5_is_in_bsds500(shared):
    root = shared / "datasets"
    others = sorted((root / "BSDS333").iterdir())
    chosen = [*others[::12], root / "BSDS333" / "302003.jpg"]
    trained = [fingerprint(np.array(PIL.Image.open(path).convert("RGB"))) for path in chosen]
    tests = [fingerprint(e.read().clean) for name in ("Set5", "Set14") for e in image_set(name).index(root)]
    (match,) = search(tests, trained)
    assert (chosen[match.found_in].stem, match.image) == ("302003", 4)  # woman
    assert match.scale == pytest.approx(481 / 344, rel=0.01)


@pytest.mark.long
def test_real_sets(shared):
    root = shared / "datasets"
    trained = image_set("BSDS302").index(root)
    for name in ("Set5", "Set14", "BSD100", "Rain100L"):
        assert matches(image_set(name).index(root), trained) == []
    found = matches(image_set("Rain100L").index(root), image_set("BSD100").index(root))
    assert len({match.image for match in found}) == 25
