"""Test the PNG files that petlir writes: other programs read them, and they are distinguished from a user's files."""

from __future__ import annotations

import itertools

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.images import png
from petlir.benchmark.images.decoding import Pixels
from petlir.benchmark.images.reading import read_picture

CASES = [*itertools.product(["uint8", "uint16"], [False, True], [1, 300, 2**22])]


@pytest.mark.parametrize(("kind", "alpha", "band"), CASES)
def test_pixels_and_alpha_come_back(tmp_path, monkeypatch, kind, alpha, band):
    monkeypatch.setattr(png, "BAND", band)
    values: Pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (23, 17, 4)).astype(kind)
    png.write(tmp_path / "a.png", values[..., :3], values[..., 3] if alpha else None)
    picture = read_picture(tmp_path / "a.png")
    assert picture.pixels.dtype == kind
    assert np.array_equal(picture.pixels, values[..., :3])
    assert picture.alpha is None if not alpha else np.array_equal(picture.alpha, values[..., 3])  # type: ignore[arg-type]
    with PIL.Image.open(tmp_path / "a.png") as image:  # the high bytes
        high = values >> 8 if kind == "uint16" else values
        assert np.array_equal(np.array(image), high if alpha else high[..., :3])
        assert image.info["Software"] == "petlir"


def test_own_files_are_told_from_others(tmp_path):
    path = tmp_path / "a.png"
    for kind in (np.uint8, np.uint16):
        png.write(path, np.zeros((3, 4, 3), kind))
        assert png.is_own(path)
    PIL.Image.new("RGB", (4, 3)).save(path)
    assert not png.is_own(path)
    path.write_bytes(b"")
    assert not png.is_own(path)
    assert not png.is_own(tmp_path)
