"""The folder layouts in which people have a set, and how its images are found, named and joined in them.

A pattern is a path below the data folder, without suffix, in which stars stand for what varies: the clean
`Rain100L/norain-*` and the degraded `Rain100L/rainy/rain-*` are a pair where the stars stand for the same. A pattern
that ends in `.mat` is a file of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import PetlirError
from benchmark.images.imageset import Entry, Reader
from benchmark.images.matlab import blocks
from benchmark.images.reading import SUFFIXES, FileReader

Key = tuple[str, ...]
"""What the stars of a pattern stand for."""
Found = Mapping[Key, Reader]
BLOCKS = ".mat"
SHOWN = 3
"""How many missing files an error names."""


@dataclass(frozen=True)
class Layout:
    """Where a set's images lie.

    Attributes:
        clean: pattern of the clean images.
        degraded: pattern of the degraded images of a paired set.
        shrunk: pattern of bicubically shrunk images that some layouts ship, with `{scale}` in it.
    """

    clean: str
    degraded: str | None = None
    shrunk: str | None = None

    def lower(self, scale: int) -> str | None:
        """The pattern of the images on the degraded side."""
        if scale > 1 and self.shrunk:
            return self.shrunk.format(scale=scale)
        return self.degraded


@dataclass(frozen=True)
class Listed:
    """The index of a set that lies in one of several layouts; the first that is whole, else the first of any file.

    Attributes:
        name: the set's name.
        source: where to get it, for errors.
        layouts: where it may lie.
        count: how many images it has; None for any number.
        names: what the stars stand for, of every image; other files are not looked at. None: all files belong to it.
        digits: numbers are written with so many, so that layouts that write them otherwise agree; 0 leaves them alone.
        called: how an image is named after what its stars stand for.
        unit: regular expression; its first group, in the name, is the source scene. None: the name is.
        unit_called: how the unit is named after that group.
        units: those that belong to the set; None for all.
        rows: names of the first axis of a file of blocks.
    """

    name: str
    source: str
    layouts: Sequence[Layout]
    count: int | None = None
    names: Sequence[str] | None = None
    digits: int = 0
    called: str = "{}"
    unit: str | None = None
    unit_called: str = "{}"
    units: frozenset[str] | None = None
    rows: Sequence[str] = ()

    def __call__(self, root: Path | None, scale: int = 1) -> list[Entry]:
        """The images; see `benchmark.images.imageset.Index`.

        Raises:
            PetlirError: the set is missing or half there; names what is missing.
        """
        if root is None:
            first = self.layouts[0].clean
            raise PetlirError(f"PETLIR_DATA is not set; expected the folder that holds {first} ({self.source})")
        layout, clean, degraded = self._lying(root)
        keys = [key for key in sorted(clean) if self._wanted(key)]
        self._whole(root, layout, keys, clean, degraded)
        if scale > 1 and (shrunk := layout.lower(scale)):
            degraded = self._files(root, shrunk)
        return [
            Entry(self._called(key), self._unit(key), clean[key], degraded.get(key), scale if degraded else 1)
            for key in keys
        ]

    def _lying(self, root: Path) -> tuple[Layout, Found, Found]:
        """The layout in which the set lies, its clean and its degraded images; those without a partner too."""
        partial = None
        for layout in self.layouts:
            clean = self._files(root, layout.clean)
            degraded = self._files(root, layout.degraded) if layout.degraded else {}
            if clean and (degraded or not layout.degraded):
                return layout, clean, degraded
            if (clean or degraded) and partial is None:
                partial = layout, clean, degraded
        if partial is None:
            raise PetlirError(self._missing(root))
        return partial

    def _missing(self, root: Path) -> str:
        places = [root / layout.clean for layout in self.layouts]
        empty = next((place.parent for place in places if place.parent != root and place.parent.is_dir()), None)
        if empty is not None:
            return (
                f"{empty} holds no image of {self.name}; expected {', '.join(sorted(SUFFIXES))}; get it: {self.source}"
            )
        others = f", or in one of {len(places) - 1} other layouts" if places[1:] else ""
        where = f"expected {self.name} there{others} under PETLIR_DATA={root}"
        return f"{places[0]} is missing; {where}; get it: {self.source}"

    def _files(self, root: Path, pattern: str) -> dict[Key, Reader]:
        return {self._filled(key): reader for key, reader in matching(root, pattern, self.rows).items()}

    def _filled(self, key: Key) -> Key:
        if not self.digits:
            return key
        return tuple(str(int(part)).zfill(self.digits) if part.isdigit() else part for part in key)

    def _wanted(self, key: Key) -> bool:
        if self.names is not None and "-".join(key) not in self.names:
            return False
        return self.units is None or self._scene(key) in self.units

    def _called(self, key: Key) -> str:
        return self.called.format("-".join(key))

    def _scene(self, key: Key) -> str:
        name = self._called(key)
        found = re.search(self.unit, name) if self.unit else None
        return found[1] if found else name

    def _unit(self, key: Key) -> str:
        return self.unit_called.format(self._scene(key)) if self.unit else self._scene(key)

    def _whole(self, root: Path, layout: Layout, keys: Sequence[Key], clean: Found, degraded: Found) -> None:
        """Refuse a half-present set; name the files that are missing where that can be known."""
        have = {"-".join(key) for key in keys}
        lacking = [_path(root, layout.clean, (name,), clean) for name in self.names or () if name not in have]
        if layout.degraded:
            lacking += [_path(root, layout.degraded, key, degraded) for key in keys if key not in degraded]
            alone = (key for key in sorted(degraded) if self._wanted(key) and key not in clean)
            lacking += [
                _path(root, layout.clean, key, clean) for key in alone if "-".join(key) not in (self.names or ())
            ]
        lacking = list(dict.fromkeys(lacking))
        if lacking:
            shown = ", ".join(lacking[:SHOWN]) + (", …" if len(lacking) > SHOWN else "")
            each = 1 if layout.clean.endswith(BLOCKS) else self.count or len(keys)
            total = each * (2 if layout.degraded else 1)
            some = f"{len(lacking)} of {total} files are missing: {shown}"
            raise PetlirError(f"{self.name} is half there: {some}; get it: {self.source}")
        if self.count is not None and len(keys) != self.count:
            raise PetlirError(
                f"{self.name} is half there or another set: {root / layout.clean} has {len(keys)} images, "
                f"expected {self.count}; get it: {self.source}"
            )


def matching(root: Path, pattern: str, rows: Sequence[str] = ()) -> dict[Key, Reader]:
    """The images that a pattern describes, by what its stars stand for.

    Raises:
        PetlirError: two files have one name but for the suffix.
    """
    if pattern.endswith(BLOCKS):
        return dict(blocks(root / pattern, rows)) if (root / pattern).is_file() else {}
    return {key: FileReader(path) for key, path in _paths(root, pattern)}


def _paths(root: Path, pattern: str) -> Iterator[tuple[Key, Path]]:
    wanted = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"))
    seen: dict[Key, Path] = {}
    for path in sorted(root.glob(f"{pattern}.*")):
        match = wanted.fullmatch(path.relative_to(root).with_suffix("").as_posix())
        if match is None or path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        key = match.groups()
        if key in seen:
            raise PetlirError(f"{path} and {seen[key].name} have one name; expected one image a name")
        seen[key] = path
        yield key, path


def _path(root: Path, pattern: str, key: Key, beside: Found) -> str:
    """The file that a pattern describes, with the suffix of those beside it."""
    if pattern.endswith(BLOCKS):
        return str(root / pattern)
    parts = iter(key)
    text = re.sub(r"\*", lambda _: next(parts), pattern)
    suffix = next((Path(reader.where).suffix for reader in beside.values()), "")
    return f"{root / text}{suffix}"


def expand(names: str) -> tuple[str, ...]:
    """Names from text: words, and ranges such as `0001..0800`.

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
