"""Folder layouts in which image sets are distributed: patterns that find, name and pair the images.

A pattern is a path below the data folder, without suffix, with the wildcard `*` for variable parts: a clean image that
matches `Rain100L/norain-*` and a degraded image that matches `Rain100L/rainy/rain-*` are a pair if the wildcards match
the same text. A pattern that ends in `.mat` describes a MATLAB file that contains blocks of images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.imageset import Reader
from petlir.benchmark.images.matlab import blocks
from petlir.benchmark.images.reading import SUFFIXES, FileReader

Key = tuple[str, ...]
"""The texts that the wildcards of a pattern match in an image's path, called wildcard texts."""
Found = Mapping[Key, Reader]
BLOCKS = ".mat"
"""The suffix of a MATLAB file that contains blocks of images."""


@dataclass(frozen=True)
class FolderLayout:
    """The folder layout of a set.

    Attributes:
        clean: pattern of the clean images.
        degraded: pattern of the degraded images of a paired set.
        shrunk: pattern of bicubically downscaled images included in some layouts, with the placeholder `{scale}`.
    """

    clean: str
    degraded: str | None = None
    shrunk: str | None = None

    def lower(self, scale: int) -> str | None:
        """Return the pattern of the degraded images at a scale."""
        if scale > 1 and self.shrunk:
            return self.shrunk.format(scale=scale)
        return self.degraded


def matching(root: Path, pattern: str, rows: Sequence[str] = ()) -> dict[Key, Reader]:
    """Return the images that match a pattern, keyed by their wildcard texts.

    Raises:
        PetlirError: the names of two files differ only in the suffix.
    """
    if pattern.endswith(BLOCKS):
        return dict(blocks(root / pattern, rows)) if (root / pattern).is_file() else {}
    return {key: FileReader(path) for key, path in _paths(root, pattern)}


def _paths(root: Path, pattern: str) -> Iterator[tuple[Key, Path]]:
    wanted = expression(pattern)
    seen: dict[Key, Path] = {}
    for path in sorted(root.glob(f"{pattern}.*")):
        match = wanted.fullmatch(path.relative_to(root).with_suffix("").as_posix())
        if match is None or path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        key = match.groups()
        if key in seen:
            raise PetlirError(f"{path} and {seen[key].name} have the same name; expected one image per name")
        seen[key] = path
        yield key, path


def expression(pattern: str) -> re.Pattern[str]:
    """Convert the pattern to a regular expression whose groups are the wildcards of the pattern."""
    return re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"))


def file_of(root: PurePath, pattern: str, key: Key, beside: Found) -> str:
    """Return the path that `pattern` describes for the wildcard texts `key`, with the suffix of files in `beside`."""
    if pattern.endswith(BLOCKS):
        return str(root / pattern)
    parts = iter(key)
    text = re.sub(r"\*", lambda _: next(parts), pattern)
    suffix = next((Path(reader.where).suffix for reader in beside.values()), "")
    return f"{root / text}{suffix}"


def expand(names: str) -> tuple[str, ...]:
    """Expand a list of words and of ranges such as `0001..0800` to image names.

    >>> expand("09..11 baby")
    ('09', '10', '11', 'baby')
    """
    found: list[str] = []
    for word in names.split():
        first, dots, last = word.partition("..")
        if dots:
            found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
        else:
            found.append(word)
    return tuple(found)
