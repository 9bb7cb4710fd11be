"""Test the digest of an image set: the same in every folder layout, checked against the catalogue, computed once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import digests as module
from petlir.benchmark.images.cache import stored_text
from petlir.benchmark.images.catalogue import image_set, names
from petlir.benchmark.images.digests import digest_of, digests
from petlir.benchmark.images.imageset import HeldImage, ImageEntry
from tests.helpers.engine import draw, save


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entry(name: str, clean: Image, degraded: Image | None = None) -> ImageEntry:
    return ImageEntry(name, name, HeldImage(clean, name), None if degraded is None else HeldImage(degraded, name))


def test_digest_sees_names_pixels_sizes_and_degraded():
    black, white = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)
    sets = [
        [entry("a", black)],
        [entry("a", white)],
        [entry("a", black.reshape(3, 2, 3))],
        [entry("a", black, white)],
        [entry("a", black, black)],
        [entry("a", black), entry("b", black)],
    ]
    assert len({digests("toy", entries).named for entries in sets}) == len(sets)
    assert len({digests("toy", entries).content for entries in sets}) == len(sets)
    assert digests("toy", [entry("b", black)]).named != digests("toy", sets[0]).named


def test_content_is_the_same_in_every_layout_and_crop():
    """Names, order, and crops to multiples of 2, 3 or 4 do not change the digest; other pairings do."""
    one, two = draw([1], 50, 75), draw([2], 61, 47)
    expected = digests("toy", [entry("a", one), entry("b", two)]).content
    assert digests("toy", [entry("img_1", two), entry("img_2", one)]).content == expected
    for scale in (2, 3, 4):
        crops = [image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale] for image in (one, two)]
        assert digests("toy", [entry("a", crops[0]), entry("b", crops[1])]).content == expected
    assert digests("toy", [entry("a", one[1:]), entry("b", two)]).content != expected
    pairs = [entry("a", one, one), entry("b", one, one[::-1])], [entry("a", one, one[::-1]), entry("b", one[::-1], one)]
    assert digests("toy", pairs[0]).content != digests("toy", pairs[1]).content


def test_files_are_read_again_only_when_one_has_changed(tmp_path, monkeypatch, cache):
    for number in range(2):
        save(tmp_path / "mine" / f"{number}.png", draw([number]))
    entries = image_set("folder:mine").index(tmp_path)
    first = digests("mine", entries)
    (kept,) = cache.glob("digests/mine-*.json")
    assert json.loads(stored_text(kept)) == {"named": first.named, "content": first.content}
    with monkeypatch.context() as patch:
        patch.setattr(module, "_computed", lambda samples: pytest.fail("read again"))
        assert digests("mine", entries) == first
    save(tmp_path / "mine/1.png", draw([7]))
    assert digests("mine", image_set("folder:mine").index(tmp_path)) != first
    kept.write_bytes(kept.read_bytes().replace(first.named[:8].encode(), b"01234567"))
    save(tmp_path / "mine/1.png", draw([1]))
    assert digests("mine", image_set("folder:mine").index(tmp_path)) == first


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "file"))
    save(tmp_path / "mine/0.png", draw([0]))
    entries = image_set("folder:mine").index(tmp_path)
    assert digests("mine", entries) == digests("mine", entries)


def test_other_images_under_the_name_of_a_set_are_refused(tmp_path, shared):
    root: Path = shared / "datasets"
    assert digest_of(image_set("Set5"), root) != digest_of(image_set("Set14"), root)
    (tmp_path / "Set5/HR").mkdir(parents=True)
    for path in (root / "Set5/HR").iterdir():
        (tmp_path / "Set5/HR" / path.name).write_bytes(path.read_bytes())
    assert digest_of(image_set("Set5"), tmp_path) == digest_of(image_set("Set5"), root)
    with PIL.Image.open(tmp_path / "Set5/HR/head.png") as image:
        changed = np.array(image)
    changed[5, 5, 0] ^= 1
    save(tmp_path / "Set5/HR/head.png", changed)
    with pytest.raises(PetlirError, match=r"Set5 differs from the catalogue: digest \w+…, expected c773a4") as e:
        digest_of(image_set("Set5"), tmp_path)
    assert "\n" not in str(e.value)
    unknown = replace(image_set("Set5"), known=None)
    assert digest_of(unknown, tmp_path) != digest_of(unknown, root)


@pytest.mark.parametrize("name", [name for name in names() if image_set(name).known])
def test_the_real_sets_are_those_of_the_catalogue(shared, name):
    images = image_set(name)
    assert digests(name, images.index(shared / "datasets")).content == images.known
