"""Image sets from the Hugging Face hub, at a pinned revision, through the `datasets` library."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import TypedDict

from benchmark.degradation import Image
from benchmark.errors import PetlirError
from benchmark.hub import check_pinned, first_line
from benchmark.images.imageset import Sample
from benchmark.images.reading import decode, read_image

CLEAN_COLUMNS = ("clean", "image")
DEGRADED_COLUMN = "degraded"


class Cell(TypedDict):
    """An image that `datasets` has not decoded: the bytes of its file, or where it lies."""

    bytes: bytes | None
    path: str | None


def from_hub(repo: str, revision: str, split: str = "train") -> list[Sample]:
    """The images of a set made as imagefolder or parquet: column `clean` or `image`, perhaps `degraded`.

    Args:
        repo: `owner/name` on the hub, or a local folder of the same make, whose revision is not looked at.
        revision: the commit, 40 hexadecimal digits: a branch would not be the same images for ever.
        split: which split of the set.

    Raises:
        PetlirError: the revision is not pinned, the set cannot be loaded, or it has no column of images.
    """
    from datasets import Image as ImageFeature
    from datasets import load_dataset

    local = Path(repo).is_dir()
    if not local:
        check_pinned(repo, revision)
    try:
        rows = load_dataset(repo, revision=None if local else revision, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        raise PetlirError(f"{repo}, split {split!r}, cannot be loaded: {first_line(error)}") from error
    columns = _columns(repo, list(rows.column_names))
    for column in columns:
        rows = rows.cast_column(column, ImageFeature(decode=False))
    return [_sample(repo, number, [row[column] for column in columns]) for number, row in enumerate(rows)]


def _columns(repo: str, present: list[str]) -> list[str]:
    clean = [column for column in CLEAN_COLUMNS if column in present]
    if not clean:
        raise PetlirError(f"{repo} has the columns {', '.join(present)}; expected one of {', '.join(CLEAN_COLUMNS)}")
    return [clean[0], *([DEGRADED_COLUMN] if DEGRADED_COLUMN in present else [])]


def _sample(repo: str, number: int, cells: list[Cell]) -> Sample:
    name = PurePosixPath(cells[0]["path"] or f"{number:06d}").stem
    images = [_image(cell, f"{repo}: image {number}") for cell in cells]
    if len({image.shape for image in images}) > 1:
        raise PetlirError(f"{repo}: image {number} and its degraded one differ in size; expected one size")
    return Sample(name, name, *images)


def _image(cell: Cell, name: str) -> Image:
    if cell["bytes"] is not None:
        return decode(io.BytesIO(cell["bytes"]), name)
    if cell["path"] is None:
        raise PetlirError(f"{name} is empty; expected an image")
    return read_image(Path(cell["path"]))
