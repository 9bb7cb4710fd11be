"""Decode image files to upright pixels at their own bit depth, with a separate alpha channel.

A damaged file, or a file of an unsupported format or bit depth, is rejected with an error that names the file.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.TiffImagePlugin
from numpy.typing import NDArray
from PIL.Image import Transpose

from petlir.benchmark import errors
from petlir.benchmark.degradation import Degraded, Image
from petlir.benchmark.errors import PetlirError

FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""The Pillow formats that are supported, regardless of a file's suffix."""
READABLE = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"})
GREY16 = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})
COLOUR16 = ("RGB;16", "RGBA;16", "RGBX;16")
EXPECTED = "expected RGB or greyscale with 8 or 16 bits per channel"
BROKEN = (
    *errors.FAULTS, OSError, SyntaxError, EOFError, MemoryError, struct.error, zlib.error,
    PIL.Image.DecompressionBombError,
)  # fmt: skip
"""Exceptions that Pillow raises on damaged files."""
ORIENTATION = 0x0112
BITS_PER_SAMPLE, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 262, 284, 339
"""TIFF tags."""
GREY_STEPS = {"L;2": 85, "L;4": 17}
"""Raw modes of greyscale PNG with fewer than 8 bits → the 8-bit difference between neighbouring grey levels."""
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
}  # fmt: skip
"""EXIF orientation → the operation that turns the stored pixels upright."""
SIDEWAYS = 5
"""The lowest EXIF orientation that exchanges width and height."""

Pixels = NDArray[np.uint8 | np.uint16]
"""An image, H×W×3, or a single channel, H×W, with 8 or 16 bits per channel."""


@dataclass(frozen=True)
class Picture:
    """A decoded image file.

    Attributes:
        pixels: H×W×3 RGB, upright, uint8 or uint16 as stored; a greyscale channel is repeated three times.
        alpha: the alpha channel, H×W, with the dtype of `pixels`, or None if the file has no alpha channel or an opaque
            one.
        notes: a line for each part of the file that was not read.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    notes: tuple[str, ...] = ()

    @property
    def peak(self) -> int:
        """The largest value that a channel can hold, 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    def on_byte_scale(self) -> Degraded:
        """Return the pixels on the scale 0..255: uint8, or float32 for a 16-bit image."""
        if self.pixels.dtype == np.uint8:
            return cast("Image", self.pixels.copy())
        return (self.pixels / 257).astype(np.float32)


@dataclass(frozen=True)
class Header:
    """Contents of an image file's header: size of the upright image in pixels, bits per channel, and alpha channel."""

    width: int
    height: int
    bits: int
    alpha: bool


def header(file: BinaryIO, name: str) -> Header:
    """Read the header of an open image file without decoding its pixels.

    Raises:
        PetlirError: the file is not supported; see `decode`.
    """
    try:
        with PIL.Image.open(file) as image:
            _check(image, name)
            width, height, bits = *image.size, 16 if _is_deep(image) else 8
            turns = image.format != "TIFF" and (image.format != "PNG" or _png_tells_orientation(file))
            if turns and _orientation(image) >= SIDEWAYS:  # the size of a TIFF is upright already
                width, height = height, width
            return Header(width, height, bits, image.has_transparency_data)
    except PetlirError:
        raise
    except BROKEN as error:
        raise _unreadable(name, error) from error


def decode(file: BinaryIO, name: str) -> Picture:
    """Decode an open image file; `name` identifies the file in error messages.

    Raises:
        PetlirError: the file is damaged or animated, or has several pages, an unsupported colour space or more than 16
            bits per channel.
    """
    content = file.read()
    try:
        with PIL.Image.open(io.BytesIO(content)) as image:
            _check(image, name)
            if _is_deep(image):
                return _deep(content, image)
            return picture(image, name)
    except PetlirError:
        raise
    except BROKEN as error:
        raise _unreadable(name, error) from error


def picture(image: PIL.Image.Image, name: str) -> Picture:
    """Convert an 8-bit Pillow image to a `Picture`; `name` identifies the image in error messages.

    Raises:
        PetlirError: the colour mode of the image is not supported.
    """
    if image.mode not in READABLE:
        raise PetlirError(f"{name} has the colour mode {image.mode}; expected 8-bit RGB or greyscale")
    notes = _further_pictures(image)
    if "transparency" in image.info and (step := GREY_STEPS.get(_raw_mode(image))):
        image.info["transparency"] *= step  # Pillow scales the pixels, but not the grey level marked as transparent
    if not image.has_transparency_data:
        return Picture(np.asarray(_as_mode(upright(image), "RGB")), notes=notes)
    values = np.asarray(_as_mode(upright(image), "RGBA"))
    return _split(values, notes)


def _as_mode(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    return image if image.mode == mode else image.convert(mode)  # converting to the same mode would copy


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return the image as viewers show it, turned by its EXIF orientation."""
    orientation = _orientation(image)  # read before loading, which turns a TIFF upright and removes the tag
    if image.format == "TIFF":
        image.load()
        return image
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _orientation(image: PIL.Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) if the image has none or its EXIF data are damaged."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except BROKEN:
        return 1
    return found if isinstance(found, int) and found in TURNS else 1


def _png_tells_orientation(file: BinaryIO) -> bool:
    """Return True if a PNG may contain an EXIF orientation, which Pillow reads only by decoding all pixels."""
    place = file.tell()
    file.seek(len(b"\x89PNG\r\n\x1a\n"))
    told = False
    while not told and len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        text = file.read(min(length, 24)) if kind in (b"iTXt", b"tEXt", b"zTXt") else b""
        told = kind == b"eXIf" or text.startswith((b"Raw profile type", b"XML:com.adobe.xmp"))
        file.seek(length - len(text) + 4, io.SEEK_CUR)
    file.seek(place)
    return told


def _check(image: PIL.Image.Image, name: str) -> None:
    """Reject files that would be read incorrectly or only in part."""
    if image.format not in FORMATS:
        raise PetlirError(f"{name} has the format {image.format}; expected {', '.join(FORMATS)}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        kind = "pages" if image.format == "TIFF" else "frames (animated)"
        raise PetlirError(f"{name} holds {frames} {kind}; expected a single image")
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile) and (reason := _misread(image)):
        raise PetlirError(f"{name} has {reason} in an unsupported form; {EXPECTED}")
    if _is_deep(image):
        if "transparency" in image.info:
            raise PetlirError(f"{name} has 16 bits per channel and a transparent colour; expected an alpha channel")
        return
    if image.mode.startswith(("I", "F")) or _maximum(image) > 255:
        raise PetlirError(f"{name} has more than 8 bits per channel in an unsupported form; {EXPECTED}")
    if image.mode not in READABLE:
        raise PetlirError(f"{name} has the colour mode {image.mode}; {EXPECTED}")


def _misread(image: PIL.TiffImagePlugin.TiffImageFile) -> str:
    """Return the feature of a TIFF that Pillow would decode to wrong pixels, or "" if there is none."""
    bits, formats = (image.tag_v2.get(tag, (1,)) for tag in (BITS_PER_SAMPLE, SAMPLE_FORMAT))
    if max(bits) not in (1, 2, 4, 8, 16):
        return f"{max(bits)} bits per channel"
    if set(formats) != {1}:
        return "signed or floating-point values"
    return "separate planes of 16 bits" if max(bits) == 16 and len(bits) > 1 and image.tag_v2.get(PLANES) == 2 else ""


def _is_deep(image: PIL.Image.Image) -> bool:
    """Return True for an image with 16 bits per channel.

    Pillow decodes RGB images with 16 bits per channel to 8 bits; only the entries of `tile` show the true bit depth.
    """
    if image.mode in GREY16:
        return image.mode != "I" or image.format in ("PNG", "PPM")
    return _raw_mode(image).startswith((*COLOUR16, "LA;16"))


def _raw_mode(image: PIL.Image.Image) -> str:
    tiles = getattr(image, "tile", [])
    if not tiles:
        return ""
    codec, _, _, arguments = tiles[0]
    if codec == "ppm" and arguments == ("RGB", 65535):
        return "RGB;16B"
    if len({tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in tiles}) > 1:
        return ""  # separate planes
    return arguments if isinstance(arguments, str) else str(arguments[0])


def _maximum(image: PIL.Image.Image) -> int:
    """Return the largest value that a channel of the file can hold; values above 255 may be inexact."""
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
        return int(2 ** max(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))) - 1
    tiles = getattr(image, "tile", [])
    maxima = [tile[3][1] for tile in tiles if tile[0] in ("ppm", "ppm_plain") and isinstance(tile[3], tuple)]
    return max(maxima, default=65535 if ";16" in str(tiles) else 255)


def _further_pictures(image: PIL.Image.Image) -> tuple[str, ...]:
    frames = getattr(image, "n_frames", 1)
    return (f"only the first of the file's {frames} images is read",) if frames > 1 else ()


def _deep(content: bytes, image: PIL.Image.Image) -> Picture:
    """Decode an image with 16 bits per channel."""
    if image.mode in GREY16:
        grey = np.asarray(upright(image)).astype(np.uint16)
        if isinstance(image, PIL.TiffImagePlugin.TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == 0:
            grey = 65535 - grey  # white is zero; Pillow inverts only images with up to 8 bits
        return Picture(np.repeat(grey[..., None], 3, 2))
    raw = _raw_mode(image)
    if raw.startswith("LA"):
        # greyscale and alpha, two bytes each, are unpacked like the four bytes of RGBA
        parts = _unpacked(content, "RGBA", "RGBA").astype(np.uint16)
        grey, alpha = (parts[..., place] * 256 + parts[..., place + 1] for place in (0, 2))
        return _split(np.stack([grey, grey, grey, alpha], 2), ())
    mode = raw.partition(";")[0]
    # Pillow unpacks only the high bytes; given the opposite byte order, it unpacks the low bytes
    big = raw.endswith("B") or (raw.endswith("N") and struct.pack("=H", 1) == b"\0\1")
    high, low = (_unpacked(content, mode, f"{mode};16{order}") for order in ("BL" if big else "LB"))
    values = high.astype(np.uint16) * 256 + low
    return _split(values, ()) if values.shape[2] == 4 and mode == "RGBA" else Picture(values[..., :3])


def _unpacked(content: bytes, mode: str, raw: str) -> NDArray[np.uint8]:
    """Decode a file as if it had Pillow's raw mode `raw`; return the upright pixels, H×W×C."""
    with PIL.Image.open(io.BytesIO(content)) as image:
        assert isinstance(image, PIL.ImageFile.ImageFile)
        image.tile = [_with_raw_mode(tile, raw) for tile in image.tile]
        image._mode = mode
        return np.array(upright(image))


def _with_raw_mode(tile: PIL.ImageFile._Tile, raw: str) -> PIL.ImageFile._Tile:
    """Return the decoder settings of a part of a file, with the raw mode replaced by `raw`."""
    if tile.codec_name == "ppm":
        return tile._replace(codec_name="raw", args=(raw, 0, 1))
    return tile._replace(args=raw if isinstance(tile.args, str) else (raw, *(tile.args or ())[1:]))


def _split(values: Pixels, notes: tuple[str, ...]) -> Picture:
    """Separate the alpha channel from pixels H×W×4; an opaque alpha channel is dropped."""
    alpha = np.ascontiguousarray(values[..., 3])
    opaque = bool((alpha == np.iinfo(values.dtype).max).all())
    kept = ("its alpha channel is opaque and was dropped",) if opaque else ()
    return Picture(np.ascontiguousarray(values[..., :3]), None if opaque else alpha, (*notes, *kept))


def _unreadable(name: str, error: BaseException) -> PetlirError:
    if isinstance(error, PIL.UnidentifiedImageError):
        return PetlirError(f"{name} is not a readable image: its format is unknown or not supported")
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return PetlirError(f"{name} is not a readable image: {reason}")
