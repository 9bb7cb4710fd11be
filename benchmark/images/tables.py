"""Images in the rows of a `datasets` table, classified by column and folder names and paired by image name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.layouts import Key, expression
from petlir.benchmark.images.pairing import Side, partners, side
from petlir.benchmark.images.pairs import PARTS
from petlir.benchmark.images.reading import decode, read_image

if TYPE_CHECKING:
    from datasets import Dataset

K = TypeVar("K")


@dataclass(frozen=True)
class TableImage:
    """An image of a table: its path without suffix, and its side (clean or degraded) by column, folder or name."""

    path: PurePosixPath
    side: Side | None
    reader: RowReader


@dataclass(frozen=True, eq=False)
class RowReader:
    """An image that has not been read yet, in a row of a table; see `petlir.benchmark.images.imageset.Reader`."""

    rows: Dataset
    row: int
    column: str
    where: str

    def __str__(self) -> str:
        return self.where

    @property
    def stamp(self) -> str:
        """The table's fingerprint, the row number and the column name."""
        return f"{self.rows._fingerprint} {self.row} {self.column}"

    def __call__(self) -> Image:
        """Return the pixels."""
        cell = self.rows[self.row][self.column]
        if cell["bytes"] is not None:
            return decode(io.BytesIO(cell["bytes"]), self.where)
        if cell["path"] is None:
            raise PetlirError(f"{self.where} is empty; expected an image")
        return read_image(Path(cell["path"]))


def pictures(source: str, rows: Dataset) -> Iterator[TableImage]:
    """Yield the images of a table without decoding them; `source` identifies the table in error messages.

    Raises:
        PetlirError: the table has no image column.
    """
    from datasets import Image as Column

    columns = _columns(source, rows)
    for column in columns:
        rows = rows.cast_column(column, Column(decode=False))
    places = {column: _places(rows, column) for column in columns}
    named = next((column for column, holds in columns.items() if holds != "degraded"), next(iter(columns)))
    for column, holds in columns.items():
        only = rows.select_columns([column])
        for row, path in enumerate(places[named]):
            reader = RowReader(only, row, column, f"{source}: {path} ({column})")
            yield TableImage(path, holds or _by_folder(path), reader)


def _columns(source: str, rows: Dataset) -> dict[str, Side | None]:
    """Return image column → side (clean or degraded); if only one of two columns has a known side, deduce the other."""
    found = {name: side(name.split(".")[0]) for name, feature in rows.features.items() if _holds_images(feature)}
    if not found:
        raise PetlirError(f"{source} has the columns {', '.join(rows.column_names)}; expected a column of images")
    silent = [name for name, holds in found.items() if holds is None]
    if len(found) == 2 and len(silent) == 1:
        (said,) = (holds for holds in found.values() if holds)
        found[silent[0]] = "degraded" if said == "clean" else "clean"
    return found


def _holds_images(feature: object) -> bool:
    from datasets import Image as Column

    return isinstance(feature, Column) or (isinstance(feature, dict) and {"bytes", "path"} <= feature.keys())


def _places(rows: Dataset, column: str) -> list[PurePosixPath]:
    """Return each image's path without suffix.

    The path is the webdataset key if there is one, otherwise the label or folder followed by the name or row number.
    """
    import pyarrow.compute as arrow

    if "__key__" in rows.column_names:
        return [PurePosixPath(key) for key in rows["__key__"]]
    paths = arrow.struct_field(rows.data[column], "path").to_pylist()
    numbered = (path or f"{row:06d}" for row, path in enumerate(paths))
    places = [PurePosixPath(path).with_suffix("") for path in numbered]
    label = rows.features.get("label")
    if hasattr(label, "names"):
        return [
            PurePosixPath(label.names[number]) / place.name for number, place in zip(rows["label"], places, strict=True)
        ]
    return places


def _by_folder(path: PurePosixPath) -> Side | None:
    """Return the side indicated by an image's folders, innermost first, or by the first or last word of its name."""
    words = re.split(r"[-_.]", path.name)
    ends = (words[0], words[-1]) if len(words) > 1 else ()
    folders = reversed(path.parent.parts)
    return next((holds for word in (*folders, *ends) if (holds := side(word)) is not None), None)


def matching(pictures: Sequence[TableImage], pattern: str) -> dict[Key, RowReader]:
    """Return the images whose path below some folder matches `pattern`, keyed by what the pattern's stars match.

    Raises:
        PetlirError: the pattern's stars match the same texts in the paths of two images.
    """
    wanted = re.compile(f"(?:.*/)?{expression(pattern).pattern}")
    found: dict[Key, RowReader] = {}
    for picture in pictures:
        if match := wanted.fullmatch(str(picture.path)):
            _add(found, match.groups(), picture.reader)
    return found


def by_side(pictures: Sequence[TableImage], paired: bool, name: str) -> dict[str, tuple[RowReader, RowReader]]:
    """Return name → (clean, degraded) image; in a set without pairs, both are the clean image.

    Args:
        pictures: the images.
        paired: whether the set consists of pairs.
        name: name of the set; if it ends in `-train`, `-validation` or `-test` and the table lists folders for this
            split, only the images in these folders are used.

    Raises:
        PetlirError: two images have the same name, or an image has no partner.
    """
    part = PARTS.get(name.rpartition("-")[2], ())
    chosen = [one for one in pictures if {word.lower() for word in one.path.parts} & set(part)] or pictures
    sides: dict[str, dict[str, RowReader]] = {"clean": {}, "degraded": {}}
    for one in chosen:
        if one.side is not None or not paired:
            _add(sides[one.side or "clean"], one.path.name, one.reader)
    if not paired:
        return {key: (reader, reader) for key, reader in sides["clean"].items()}
    return {key: (clean, degraded) for key, (degraded, clean) in partners(sides["clean"], sides["degraded"]).items()}


def _add(found: dict[K, RowReader], key: K, reader: RowReader) -> None:
    if key in found:
        raise PetlirError(f"{reader.where} and {found[key].where} have the same name; expected one image per name")
    found[key] = reader
