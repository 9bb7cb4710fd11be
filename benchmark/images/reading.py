"""Read image files: 8-bit RGB is accepted, greyscale is converted to RGB, and other formats are rejected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})
READABLE = frozenset({"RGB", "L", "P", "1"})


@dataclass(frozen=True)
class FileReader:
    """An image file that has not been read yet; see `petlir.benchmark.images.imageset.Reader`."""

    path: Path

    @property
    def where(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def stamp(self) -> str:
        """Path, size and modification time."""
        status = self.path.stat()
        return f"{self.path} {status.st_size} {status.st_mtime_ns}"

    def __call__(self) -> Image:
        """Return the image; see `read_image`."""
        return read_image(self.path)


def read_image(path: Path) -> Image:
    """Read an image file as H×W×3 uint8; greyscale is repeated into three channels.

    Raises:
        PetlirError: the file cannot be read, or is not 8-bit RGB or greyscale.
    """
    try:
        with path.open("rb") as file:
            return decode(file, str(path))
    except OSError as error:
        raise PetlirError(f"{path} cannot be read: {error.strerror or error}") from error


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of an image file without decoding it.

    Raises:
        PetlirError: it is not an image.
    """
    try:
        with PIL.Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise PetlirError(f"{path} is no readable image: {error}") from error


def decode(file: BinaryIO, name: str) -> Image:
    """Decode an open image file to H×W×3 uint8; `name` identifies it in error messages.

    Raises:
        PetlirError: as `read_image`.
    """
    try:
        with PIL.Image.open(file) as image:
            return rgb(image, name)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise PetlirError(f"{name} is no readable image: {error}") from error


def rgb(image: PIL.Image.Image, name: str) -> Image:
    """Convert a Pillow image to H×W×3 uint8; `name` identifies it in error messages.

    Raises:
        PetlirError: it is not 8-bit RGB or greyscale.
    """
    if refusal := _refusal(image):
        raise PetlirError(f"{name} {refusal}; expected 8-bit RGB or greyscale")
    return np.array(image.convert("RGB"))


def _refusal(image: PIL.Image.Image) -> str:
    """Return the reason to reject an image, or empty. Pillow shows deep RGB as 8-bit; only its tiles reveal it."""
    tiles = str(getattr(image, "tile", ""))
    if ";16" in tiles or "'ppm'" in tiles or image.mode.startswith(("I", "F")):
        return "has more than 8 bits a channel"
    if "A" in image.getbands() or "transparency" in image.info:
        return "has an alpha channel"
    return "" if image.mode in READABLE else f"is of colour mode {image.mode}"


def images_in(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by name without suffix, in the order of names.

    Raises:
        PetlirError: the folder is missing, has no images, or has two images of the same name.
    """
    if not folder.is_dir():
        raise PetlirError(f"{folder} is not a folder; a folder of images is expected")
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in images:
                raise PetlirError(f"{path} and {images[path.stem].name} have one name; expected one image a name")
            images[path.stem] = path
    if not images:
        raise PetlirError(f"{folder} holds no image; expected {', '.join(sorted(SUFFIXES))}")
    return images
