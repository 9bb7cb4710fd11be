"""Reading image files: 8-bit RGB comes in, greyscale becomes RGB, all else is refused by name."""

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
        """Path, size and time of the last change."""
        status = self.path.stat()
        return f"{self.path} {status.st_size} {status.st_mtime_ns}"

    def __call__(self) -> Image:
        """The image; see `read_image`."""
        return read_image(self.path)


def read_image(path: Path) -> Image:
    """The image file at `path` as H×W×3 uint8; greyscale is repeated into three channels.

    Raises:
        PetlirError: the file cannot be read, or is not 8-bit RGB or greyscale.
    """
    try:
        with path.open("rb") as file:
            return decode(file, str(path))
    except OSError as error:
        raise PetlirError(f"{path} cannot be read: {error.strerror or error}") from error


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an image file, which is not decoded.

    Raises:
        PetlirError: it is no image.
    """
    try:
        with PIL.Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise PetlirError(f"{path} is no readable image: {error}") from error


def decode(file: BinaryIO, name: str) -> Image:
    """The image in an open file as H×W×3 uint8; `name` is what errors call it.

    Raises:
        PetlirError: as `read_image`.
    """
    try:
        with PIL.Image.open(file) as image:
            return rgb(image, name)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise PetlirError(f"{name} is no readable image: {error}") from error


def rgb(image: PIL.Image.Image, name: str) -> Image:
    """Return a Pillow image as H×W×3 uint8; `name` is what errors call it.

    Raises:
        PetlirError: it is not 8-bit RGB or greyscale.
    """
    if refusal := _refusal(image):
        raise PetlirError(f"{name} {refusal}; expected 8-bit RGB or greyscale")
    return np.array(image.convert("RGB"))


def _refusal(image: PIL.Image.Image) -> str:
    """Why an image is refused, or empty. Pillow shows deep RGB as 8-bit RGB; only its tiles tell."""
    tiles = str(getattr(image, "tile", ""))
    if ";16" in tiles or "'ppm'" in tiles or image.mode.startswith(("I", "F")):
        return "has more than 8 bits a channel"
    if "A" in image.getbands() or "transparency" in image.info:
        return "has an alpha channel"
    return "" if image.mode in READABLE else f"is of colour mode {image.mode}"


def images_in(folder: Path) -> dict[str, Path]:
    """The image files of a folder by name without suffix, in the order of names.

    Raises:
        PetlirError: the folder is missing, holds no image, or holds two images of one name.
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
