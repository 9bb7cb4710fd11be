"""Test which images are read and which are refused, with one line that names the file."""

import os
import socket
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import header_of, read_deep, read_image
from tests.helpers.deep_images import deep_files

DEEP = np.random.default_rng(1).integers(0, 65536, (9, 7, 3), np.uint16)
RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def refused(path: Path) -> str:
    with pytest.raises(PetlirError) as caught:
        read_image(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def test_rgb_comes_as_it_is(tmp_path):
    PIL.Image.fromarray(RGB).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == RGB).all()


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_greyscale_and_palette_become_rgb(tmp_path, mode):
    image = PIL.Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == np.array(image.convert("RGB"))).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
def test_sixteen_bits_are_refused_where_eight_are_needed(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    path.write_bytes(deep_files(DEEP)[suffix])
    assert "more than 8 bits" in refused(path)
    assert np.allclose(read_deep(path), DEEP / 257, atol=1e-4)


def test_an_opaque_alpha_channel_is_dropped_and_a_real_one_is_refused(tmp_path):
    with_alpha = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    PIL.Image.fromarray(with_alpha).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == RGB).all()
    with_alpha[3, 2, 3] = 254
    PIL.Image.fromarray(with_alpha).save(tmp_path / "a.png")
    assert "alpha" in refused(tmp_path / "a.png")


def test_a_transparent_palette_is_refused_if_it_is_used(tmp_path):
    palette = PIL.Image.fromarray(RGB).convert("P")
    palette.save(tmp_path / "a.png", transparency=palette.getpixel((0, 0)))
    assert "alpha" in refused(tmp_path / "a.png")


def test_cmyk_is_refused(tmp_path):
    PIL.Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg")
    assert "CMYK" in refused(tmp_path / "a.jpg")


@pytest.mark.parametrize("keep", [0, 30, 200])
def test_corrupt_files_are_refused(tmp_path, keep):
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:keep])
    assert "not a readable image" in refused(tmp_path / "a.png")


def test_a_missing_file_is_named(tmp_path):
    assert "No such file" in refused(tmp_path / "a.png")


def test_pipes_sockets_and_devices_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is at most 108 bytes long
    os.mkfifo(tmp_path / "pipe.png")
    socket.socket(socket.AF_UNIX).bind("socket.png")
    for path in (tmp_path / "pipe.png", tmp_path / "socket.png", Path(os.devnull)):
        assert "is not a file" in refused(path)
        with pytest.raises(PetlirError, match="is not a file"):
            header_of(path)
