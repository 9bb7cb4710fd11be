"""Write restored and degraded images; never overwrite an input or a file that petlir did not write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from petlir.benchmark.errors import PetlirError, Unwritable, counted
from petlir.benchmark.images import png
from petlir.benchmark.images.decoding import Picture, Pixels
from petlir.benchmark.images.reading import read_picture
from petlir.benchmark.images.walking import walk

Warn = Callable[[str], None]
"""A function that shows a one-line message to the user."""


@dataclass(frozen=True)
class OutputFile:
    """An output image to be made from an input image.

    Attributes:
        name: path of the image below the input folder, without suffix.
        source: the input.
        target: the file to write.
    """

    name: str
    source: Path
    target: Path


@dataclass(frozen=True)
class Outputs:
    """The output images to be made from a folder or a file.

    Attributes:
        files: the output images to be made, sorted by name.
        existing: number of outputs that already exist and are kept.
        skipped: a one-line message that names files which are not read, or "".
    """

    files: Sequence[OutputFile]
    existing: int = 0
    skipped: str = ""


def outputs(source: Path, out: Path, *, skip_existing: bool = False) -> Outputs:
    """Return the PNG files to be written to `out` for an image, or for the images of a folder and its sub-folders.

    Args:
        source: an image file or a folder.
        out: the output folder; if it is below `source`, its images are not used as inputs.
        skip_existing: whether images whose PNG file exists are skipped.

    Raises:
        PetlirError: the source is missing or has no images, or an output would overwrite an input or a file that petlir
            did not write.
    """
    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise PetlirError(f"{out} is not a folder; expected a folder to write into")
    if not source.is_dir():
        return _checked([OutputFile(source.stem, source, out / f"{source.stem}.png")], [source], skip_existing)
    if os.path.realpath(out) == os.path.realpath(source):
        raise PetlirError(f"{out} is the folder of the input images; expected another folder to write into")
    found = walk(source, without=out)
    files = [OutputFile(name, path, out / f"{name}.png") for name, path in found.images.items()]
    return _checked(files, found.images.values(), skip_existing, found.skipped_line())


def _checked(files: Sequence[OutputFile], inputs: Iterable[Path], skip_existing: bool, skipped: str = "") -> Outputs:
    targets = {file.target for file in files}
    for file in files:
        if inside := targets.intersection(file.target.parents):
            raise PetlirError(
                f"{file.source} is in a folder with the name of an output, {inside.pop()}; rename the folder"
            )
    there = [file for file in files if file.target.exists() or file.target.is_symlink()]
    ours = {_identity(path) for path in inputs if path.exists()}
    for file in there:
        if not file.target.is_file() or _identity(file.target) in ours:
            raise PetlirError(f"{file.target} is an input image or not a file; expected another folder to write into")
        if not skip_existing and not png.is_own(file.target):
            line = f"{file.target} exists, and petlir did not write it"
            raise PetlirError(f"{line}; expected another folder to write into, or --skip-existing")
    existing = {file.name for file in there}
    left = [file for file in files if file.name not in existing] if skip_existing else files
    return Outputs(left, len(files) - len(left), skipped)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


Convert = Callable[[OutputFile, Picture], tuple[Pixels, Pixels | None]]
"""A function that returns the pixels and the alpha channel of an output image for a decoded input image."""


def silent(line: str) -> None:
    """Discard a one-line message for the user."""


def write_each(made: Outputs, work: Convert, doing: str, warn: Warn) -> int:
    """Read, convert and write the images one at a time, and return the number of images.

    Args:
        made: the output images to be made.
        work: function that makes an output image from a decoded input image.
        doing: label of the progress bar, which is shown only on a terminal.
        warn: function that is called with a one-line message for each file or part of an image that is left out, and
            for each image that fails.

    Raises:
        PetlirError: some images could not be decoded or converted; the others were written.
        Unwritable: a file cannot be written.
    """
    if made.skipped:
        warn(made.skipped)
    if made.existing:
        warn(f"{counted(made.existing, 'existing image')} skipped")
    console, failures = Console(stderr=True), []
    bar = track(made.files, doing, console=console, transient=True, disable=not console.is_terminal)
    for file in bar:
        try:
            picture = read_picture(file.source)
            for note in picture.notes:
                warn(f"{file.source}: {note}")
            png.write(file.target, *work(file, picture))
        except Unwritable:
            raise
        except (PetlirError, MemoryError) as error:
            failures.append(str(error) or f"{file.source} does not fit into memory")
            warn(failures[-1])
    if failures:
        count, total = len(failures), len(made.files)
        some = f"{count} of {counted(total, 'image')} failed and the others were written"
        raise PetlirError(f"{some}; first error: {failures[0]}")
    return len(made.files)
