"""What is read, what is refused, and that the refusal is one line that names the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.images.walking import images_in

RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def refused(path: Path) -> str:
    with pytest.raises(PetlirError) as caught:
        read_image(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def deep_png(colour_type: int, channels: int) -> bytes:
    """A 16-bit PNG of 2×2 pixels, written by hand from the specification."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" + bytes(range(4 * channels))) * 2
    header = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_rgb_comes_as_it_is(tmp_path):
    PIL.Image.fromarray(RGB).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == RGB).all()


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_greyscale_and_palette_become_rgb(tmp_path, mode):
    image = PIL.Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == np.array(image.convert("RGB"))).all()


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_refused(tmp_path, colour_type, channels):
    (tmp_path / "deep.png").write_bytes(deep_png(colour_type, channels))
    assert "more than 8 bits" in refused(tmp_path / "deep.png")


def test_sixteen_bit_ppm_is_refused(tmp_path):
    (tmp_path / "deep.ppm").write_bytes(b"P6 2 2 65535\n" + bytes(24))
    assert "more than 8 bits" in refused(tmp_path / "deep.ppm")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_refused(tmp_path, mode):
    PIL.Image.fromarray(RGB).convert(mode).save(tmp_path / "a.png")
    assert "alpha" in refused(tmp_path / "a.png")


def test_transparent_palette_is_refused(tmp_path):
    PIL.Image.fromarray(RGB).convert("P").save(tmp_path / "a.png", transparency=0)
    assert "alpha" in refused(tmp_path / "a.png")


def test_cmyk_is_refused(tmp_path):
    PIL.Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg")
    assert "CMYK" in refused(tmp_path / "a.jpg")


@pytest.mark.parametrize("keep", [0, 30, 200])
def test_corrupt_files_are_refused(tmp_path, keep):
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:keep])
    assert "no readable image" in refused(tmp_path / "a.png")


def test_a_missing_file_is_named(tmp_path):
    assert "No such file" in refused(tmp_path / "a.png")


def test_images_are_found_in_order_and_others_passed_over(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    assert list(images_in(tmp_path)) == ["a", "b"]


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(PetlirError, match="holds no image"):
        images_in(tmp_path)
    with pytest.raises(PetlirError, match="is not a folder"):
        images_in(tmp_path / "missing")


def test_two_images_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "a.png").touch()
    with pytest.raises(PetlirError, match="one name"):
        images_in(tmp_path)
