"""Find the image files of a folder and its sub-folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import SUFFIXES

SHOWN = 5
"""The maximum number of skipped files that are named in a message."""


@dataclass(frozen=True)
class ImageFolder:
    """The files of a folder and its sub-folders.

    Attributes:
        images: name → image file, in the order of names; a name is the path relative to the folder, with `/` and
            without suffix.
        skipped: paths, relative to the folder, of unread files and sub-folders; sub-folders end with `/`.
    """

    images: dict[str, Path]
    skipped: list[str]

    def skipped_line(self) -> str:
        """Return a line with the number and names of skipped files, or "" if there are none."""
        count = len(self.skipped)
        shown = ", ".join(self.skipped[:SHOWN]) + (", …" if count > SHOWN else "")
        return f"{count} {'file' if count == 1 else 'files'} skipped: {shown}" if count else ""


def walk(folder: Path, without: Path | None = None) -> ImageFolder:
    """Return the files of a folder and its sub-folders; symbolic links to folders are not followed.

    Args:
        folder: the folder.
        without: a folder to ignore if it is a sub-folder of `folder`.

    Raises:
        PetlirError: the folder is missing or has no images, or two images have the same name.
    """
    if not folder.is_dir():
        raise PetlirError(f"{folder} is not a folder; expected a folder of images")
    images: dict[str, Path] = {}
    skipped: list[str] = []
    for path in sorted(_files(folder, without, skipped), key=lambda path: path.relative_to(folder).parts):
        inside = path.relative_to(folder)
        name = inside.with_suffix("").as_posix()
        if not _is_image(path):
            skipped.append(_printable(inside.as_posix()))
        elif name in images:
            raise PetlirError(f"{path} and {images[name].name} have the same name; expected one image per name")
        else:
            images[name] = path
    if not images:
        expected = ", ".join(sorted(SUFFIXES))
        raise PetlirError(f"{folder} holds no image; expected files that end with {expected}")
    return ImageFolder(images, skipped)


def images_in(folder: Path) -> dict[str, Path]:
    """Return the images of a folder and its sub-folders by name; see `walk`."""
    return walk(folder).images


def _files(folder: Path, without: Path | None, skipped: list[str]) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        skipped.append(f"{_printable(Path(error.filename).relative_to(folder).as_posix())}/ ({error.strerror})")

    left_out = None if without is None else os.path.realpath(without)
    for place, folders, files in os.walk(folder, onerror=failed):
        kept = []
        for name in sorted(folders):
            path = Path(place, name)
            unread = name.startswith(".") or _printable(name) != name or path.is_symlink()
            if unread or os.path.realpath(path) == left_out:
                skipped.append(f"{_printable(path.relative_to(folder).as_posix())}/")
            else:
                kept.append(name)
        folders[:] = kept
        yield from (Path(place, name) for name in files)


def _is_image(path: Path) -> bool:
    """Return True for a regular file with an image's suffix and a name that is valid UTF-8."""
    if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
        return False
    return path.is_file() and _printable(path.name) == path.name


def _printable(text: str) -> str:
    """Return a file name with `?` in place of bytes that are not valid UTF-8; some systems allow such file names."""
    return text.encode(errors="replace").decode()
