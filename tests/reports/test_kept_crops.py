"""Test crops that a store keeps instead of images: their pixels, their alignment, and the report that shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.io import imread

from petlir.reports import kept_crops
from petlir.reports.crops import CropBox
from petlir.reports.site import write_report
from tests.helpers.engine import command
from tests.reports.stores import smoke_records, write_store

CLEAN, DEGRADED = Path("clean/a.png"), Path("degraded/a.png")


@settings(max_examples=20)
@given(st.integers(32, 300), st.integers(32, 300), st.sampled_from([1, 2, 3, 4]), st.data())
def test_the_crop_contains_the_box_and_shows_the_same_part_of_each_version(
    tmp_path_factory, height, width, scale, data
):
    """The degraded image is every `scale`-th pixel of the clean one; the same must hold for their crops."""
    height, width = (side // scale * scale for side in (height, width))
    x, y = (data.draw(st.integers(0, max(0, length - 32))) for length in (width, height))
    clean = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    store = tmp_path_factory.mktemp("store")
    images = {DEGRADED: clean[::scale, ::scale], CLEAN: clean}
    kept_crops.write(store, images, CropBox(x=x, y=y, side=min(32, height, width), scores=[]))
    place = kept_crops.find(store, CLEAN)
    left, top = map(int, place.removeprefix("@").split(","))
    found, small = (imread(store / kept_crops.crop_of(path, place)) for path in (CLEAN, DEGRADED))
    side = len(found)
    np.testing.assert_array_equal(found, clean[top : top + side, left : left + side])
    np.testing.assert_array_equal(small, found[::scale, ::scale])
    if min(height, width) >= 120 + 12:
        assert side == 120
        assert left <= x and x + 32 <= left + side + 11
        assert top <= y and y + 32 <= top + side + 11


def test_a_merged_store_without_images_shows_the_crops(tmp_path, capsys):
    source = write_store(tmp_path / "source", smoke_records())
    into = tmp_path / "into"
    code, out, _ = command(capsys, "merge", source, "--into", into, "--without-images", "--crops", "1")
    assert code == 0
    assert "crops of " in out and not (into / "images").exists() and not list(into.glob("cells/*/*/*/restored"))
    page = write_report(into, tmp_path / "report").with_name("pictures.html").read_text()
    assert r"60\u00d760 pixels at " in page
    for crop in into.glob("crops/cells/*/*/*/restored/*/*.png"):
        whole = source / crop.relative_to(into / "crops").with_name(f"{crop.stem.rpartition('@')[0]}.png")
        left, top = map(int, crop.stem.rpartition("@")[2].split(","))
        np.testing.assert_array_equal(imread(crop), imread(whole)[top : top + 60, left : left + 60])


def test_a_crop_replaces_an_earlier_one_of_the_same_image(tmp_path):
    images = {CLEAN: np.zeros((300, 300, 3), np.uint8)}
    for corner in (0, 260):
        kept_crops.write(tmp_path, images, CropBox(x=corner, y=corner, side=32, scores=[]))
    assert [path.name for path in tmp_path.rglob("*.png")] == ["a@180,180.png"]


def test_without_crops_nothing_is_kept(tmp_path, capsys):
    source = write_store(tmp_path / "source", smoke_records())
    assert command(capsys, "merge", source, "--into", tmp_path / "into", "--without-images")[0] == 0
    assert not (tmp_path / "into" / "crops").exists()


@pytest.mark.parametrize("name", ["a[1]", "a@b", "ä b"])
def test_a_crop_is_found_whatever_the_name_of_its_image(tmp_path, name):
    image = Path("clean") / f"{name}.png"
    for longer in (image.with_stem(f"{name}@1,2"), image):
        kept_crops.write(tmp_path, {longer: np.zeros((40, 40, 3), np.uint8)}, CropBox(x=4, y=0, side=32, scores=[]))
    assert kept_crops.find(tmp_path, image) == "@0,0"
    assert kept_crops.find(tmp_path, image.with_stem("other")) == ""
