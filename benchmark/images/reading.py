"""Read image files of a user or of an image set; `petlir.benchmark.images.decoding` lists the accepted formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import PIL.Image

from petlir.benchmark.degradation import Degraded, Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import decoding
from petlir.benchmark.images.decoding import Header, Picture

SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".gif"
})  # fmt: skip
"""The suffixes of image files, in lower case."""
DECODING = 3
"""The version of the decoding code, which is part of cache keys so that older decoded images are not used."""
T = TypeVar("T")


@dataclass(frozen=True)
class FileReader:
    """An image file that has not been read yet; see `petlir.benchmark.images.imageset.Reader`."""

    path: Path

    @property
    def where(self) -> str:
        """The path of the file."""
        return str(self.path)

    @property
    def stamp(self) -> str:
        """Path, size and modification time of the file, and the version of the decoding code."""
        status = self.path.stat()
        return f"{self.path} {status.st_size} {status.st_mtime_ns} decoding {DECODING}"

    def __call__(self) -> Image:
        """Return the image; see `read_image`."""
        return read_image(self.path)


@dataclass(frozen=True)
class DeepReader(FileReader):
    """A user's image file, which may have 16 bits per channel."""

    def __call__(self) -> Image:
        """Return the image on the scale 0..255, as float32 if the file has 16 bits per channel."""
        # all later steps up to the score accept float32 as well as 8 bits
        return cast("Image", read_deep(self.path))


def read_picture(path: Path) -> Picture:
    """Read an image file at its own bit depth, with its alpha channel.

    Raises:
        PetlirError: the file cannot be read or is rejected by `petlir.benchmark.images.decoding.decode`.
    """
    return _opened(path, decoding.decode)


def read_image(path: Path) -> Image:
    """Read an image file as H×W×3 uint8; greyscale is repeated into three channels.

    Raises:
        PetlirError: the file cannot be read, or the image is not opaque or not 8-bit RGB or greyscale.
    """
    return _eight_bit(read_picture(path), str(path))


def read_deep(path: Path) -> Degraded:
    """Read an opaque image file as H×W×3 on the scale 0..255: uint8, or float32 for 16 bits per channel.

    Raises:
        PetlirError: the file cannot be read, or the image is not opaque.
    """
    return opaque(read_picture(path), str(path)).on_byte_scale()


def header_of(path: Path) -> Header:
    """Return the upright size and the bit depth of an image file without decoding its pixels.

    Raises:
        PetlirError: the file is not an image, or its format is not supported.
    """
    return _opened(path, decoding.header)


def size_of(path: Path) -> tuple[int, int]:
    """Return the upright width and height of an image file without decoding its pixels; see `header_of`."""
    found = header_of(path)
    return found.width, found.height


def decode(file: BinaryIO, name: str) -> Image:
    """Decode an open image file to H×W×3 uint8; `name` identifies the file in error messages.

    Raises:
        PetlirError: in the same cases as `read_image`.
    """
    return _eight_bit(decoding.decode(file, name), name)


def rgb(image: PIL.Image.Image, name: str) -> Image:
    """Convert a Pillow image to H×W×3 uint8; `name` identifies the image in error messages.

    Raises:
        PetlirError: the image is not opaque 8-bit RGB or greyscale.
    """
    return _eight_bit(decoding.picture(image, name), name)


def opaque(picture: Picture, name: str) -> Picture:
    """Return the picture; raise PetlirError if its alpha channel is not opaque."""
    if picture.alpha is not None:
        raise PetlirError(f"{name} has an alpha channel that is not opaque; expected RGB or greyscale")
    return picture


def _eight_bit(picture: Picture, name: str) -> Image:
    if picture.peak > 255:
        raise PetlirError(f"{name} has more than 8 bits per channel; expected 8-bit RGB or greyscale")
    return cast("Image", opaque(picture, name).pixels.copy())  # writable


def _opened(path: Path, read: Callable[[BinaryIO, str], T]) -> T:
    try:
        if path.exists() and not path.is_file():  # opening a FIFO would wait for a writer
            raise PetlirError(f"{path} is not a file; expected an image file")
        with path.open("rb") as file:
            return read(file, str(path))
    except OSError as error:
        raise PetlirError(f"{path} cannot be read: {error.strerror or error}") from error
