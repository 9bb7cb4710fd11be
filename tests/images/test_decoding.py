"""Test decoding: images come upright, at their own bit depth and with a separate alpha channel.

Other files are refused in one line that names the file.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.decoding import Picture, decode, header
from tests.helpers.deep_images import chunk, deep_files, deep_png, deep_tiff

RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (9, 7, 4), np.uint16)


def file(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **{"photometric": "minisblack"} | options)
    return buffer.getvalue()


def twelve_bit_tiff() -> bytes:
    """Return a TIFF with two grey pixels of 12 bits, packed into three bytes."""
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8 + 2 + 12 * 8 + 4, 277: 1, 279: 3}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + b"\x12\x34\x56"


def decoded(content: bytes) -> Picture:
    """Return the picture after checking that its header states its size and depth."""
    picture, head = decode(io.BytesIO(content), "a file"), header(io.BytesIO(content), "a file")
    assert (head.height, head.width) == picture.pixels.shape[:2]
    assert 2**head.bits - 1 == picture.peak
    return picture


def refused(content: bytes) -> str:
    with pytest.raises(PetlirError) as caught:
        decode(io.BytesIO(content), "a file")
    line = str(caught.value)
    assert line.startswith("a file ") and line.count("a file") == 1 and "\n" not in line
    return line


UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}  # fmt: skip
"""Stored pixels → what a viewer shows, by EXIF orientation.

The orientation states on which sides the first stored row and column lie.
"""
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 100, "subsampling": 0},
}


@pytest.mark.parametrize(("kind", "orientation"), [*itertools.product(LOSSLESS, [0, *UPRIGHT, 9])])
def test_images_are_turned_upright(kind, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    smooth = np.add.outer(np.arange(12) * 9, np.arange(8) * 2)[..., None] + np.array([0, 20, 40])
    stored = smooth.astype(np.uint8)
    picture = decoded(file(PIL.Image.fromarray(stored), kind, exif=exif, **LOSSLESS[kind]))
    expected = UPRIGHT.get(orientation, UPRIGHT[1])(stored)
    assert np.abs(picture.pixels.astype(int) - expected).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_deep_images_are_turned_upright(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    for content in (deep_png(DEEP, chunk(b"eXIf", body)), deep_tiff(DEEP, orientation)):
        picture = decoded(content)
        assert picture.alpha is not None
        turned = UPRIGHT[orientation](DEEP)
        assert np.array_equal(picture.pixels, turned[..., :3]) and np.array_equal(picture.alpha, turned[..., 3])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_sixteen_bit_png_is_read_exactly(count):
    picture = decoded(deep_png(DEEP[..., :count]))
    grey = np.repeat(DEEP[..., :1], 3, 2)
    assert np.array_equal(picture.pixels, DEEP[..., :3] if count > 2 else grey)
    assert (picture.alpha is not None) == (count % 2 == 0)
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, DEEP[..., count - 1])


@pytest.mark.parametrize(("order", "packing"), [*itertools.product("<>", [None, "zlib"])])
def test_sixteen_bit_tiff_is_read_exactly(order, packing):
    for count, predictor in itertools.product((3, 4), {None, 2} if packing else {None}):
        options = {"byteorder": order, "compression": packing, "predictor": predictor}
        picture = decoded(deep_tiff(DEEP[..., :count], **options))
        assert np.array_equal(picture.pixels, DEEP[..., :3])


def test_sixteen_bit_ppm_and_pgm_are_read_exactly():
    assert np.array_equal(decoded(deep_files(DEEP[..., :3])["ppm"]).pixels, DEEP[..., :3])
    grey = decoded(b"P5 7 9 65535\n" + DEEP[..., 0].astype(">u2").tobytes())
    assert np.array_equal(grey.pixels, np.repeat(DEEP[..., :1], 3, 2))


def test_alpha_is_apart_if_it_is_real_and_dropped_with_a_line_if_not():
    real = np.dstack([RGB, RGB[..., 0]])
    picture = decoded(file(PIL.Image.fromarray(real), "PNG"))
    assert picture.alpha is not None and np.array_equal(picture.alpha, RGB[..., 0])
    assert np.array_equal(picture.pixels, RGB)
    real[..., 3] = 255
    for content in (file(PIL.Image.fromarray(real), kind) for kind in ("PNG", "TIFF")):
        picture = decoded(content)
        assert picture.alpha is None
        assert picture.notes == ("its alpha channel is opaque and was dropped",)


def test_a_colour_that_is_marked_transparent_is_an_alpha_channel():
    colour = tuple(int(value) for value in RGB[4, 5])
    picture = decoded(file(PIL.Image.fromarray(RGB), "PNG", transparency=colour))
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha == 0).tolist() == [[4, 5]]


ONE, TWO = PIL.Image.fromarray(RGB), PIL.Image.fromarray(RGB[::-1].copy())
SEVERAL = {"save_all": True, "append_images": [TWO]}
REFUSED = {
    "2 frames (animated)": [file(ONE, kind, **SEVERAL) for kind in ("GIF", "WEBP", "PNG")],
    "2 pages": [file(ONE, "TIFF", **SEVERAL)],
    "colour mode CMYK": [file(ONE.convert("CMYK"), kind) for kind in ("JPEG", "TIFF")],
    "colour mode LAB": [file(ONE.convert("LAB"), "TIFF")],
    "the format ICO": [file(ONE, "ICO")],
    "32 bits per channel in an unsupported form": [
        file(PIL.Image.fromarray(DEEP[..., 0].astype(kind)), "TIFF") for kind in ("float32", "int32")
    ],
    "more than 8 bits per channel in an unsupported form": [b"P6 1 1 4095\n" + bytes(6), b"P3 1 1 999\n1 2 3"],
    "signed or floating-point values": [tiff(RGB[..., 0].astype(kind)) for kind in (np.int8, np.int16)],
    "separate planes of 16 bits": [
        tiff(DEEP[..., :3].transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate", compression=packing)
        for packing in (None, "zlib")
    ],
    "12 bits per channel in an unsupported form": [twelve_bit_tiff()],
    "its format is unknown": [b"", b"hello", bytes(100)],
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_would_be_read_in_part_or_wrongly_is_refused(reason):
    for content in REFUSED[reason]:
        assert reason in refused(content)


def test_sixteen_bit_tiff_in_which_white_is_zero():
    for orientation in (1, 6):
        content = tiff(DEEP[..., 0], photometric="miniswhite", extratags=[(274, 3, 1, orientation, True)])
        assert np.array_equal(decoded(content).pixels[..., 1], UPRIGHT[orientation](65535 - DEEP[..., 0]))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_grey_level_of_few_bits_that_is_marked_transparent(bits):
    levels = np.arange(16, dtype=np.uint8).reshape(2, 8) % 2**bits
    packed = np.packbits(np.unpackbits(levels[..., None], axis=2)[..., -bits:].reshape(2, -1), axis=1)
    header = struct.pack(">IIBBBBB", 8, 2, bits, 0, 0, 0, 0)
    data = zlib.compress(np.insert(packed, 0, 0, axis=1).tobytes())
    parts = ((b"IHDR", header), (b"tRNS", b"\0\1"), (b"IDAT", data), (b"IEND", b""))
    picture = decoded(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    assert np.array_equal(picture.pixels[..., 0], levels * (255 // (2**bits - 1)))
    assert picture.alpha is not None and np.array_equal(picture.alpha == 0, levels == 1)


def test_plain_pbm_is_read():
    assert decoded(b"P1\n3 2\n1 0 1\n0 0 1\n").pixels[..., 0].tolist() == [[0, 255, 0], [255, 255, 0]]


def test_further_pictures_of_a_camera_are_named():
    picture = decoded(file(ONE, "MPO", **SEVERAL))
    assert picture.notes == ("only the first of the file's 2 images is read",)


def test_damaged_exif_data_leaves_the_image_as_stored():
    plain, damaged = (
        file(ONE, "JPEG", **options) for options in (dict[str, Any](), {"exif": b"Exif\0\0no exif at all"})
    )
    assert np.array_equal(decoded(plain).pixels, decoded(damaged).pixels)
