"""Find the images of catalogued sets in any layout, name the images consistently, and report missing files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePath

from petlir.benchmark.errors import counted
from petlir.benchmark.images import hub, tables
from petlir.benchmark.images.imageset import HalfThere, ImageEntry, Missing
from petlir.benchmark.images.layouts import BLOCKS, FolderLayout, Found, Key, file_of, matching
from petlir.benchmark.images.reading import SUFFIXES

SHOWN = 3
"""The maximum number of missing files in an error message."""
BASE = FolderLayout("clean/*", "degraded/*")
"""The layout that error messages name if images from the hub do not match a known layout."""


@dataclass(frozen=True)
class Lying:
    """The images found for a set: root, layout, clean and degraded images, including images without a partner."""

    root: PurePath
    layout: FolderLayout
    clean: Found
    degraded: Found


@dataclass(frozen=True)
class CataloguedIndex:
    """The index of a catalogued set, which is read from the hub if `SET.hub` exists, otherwise from the data folder.

    In the data folder, the index uses the first layout for which it finds clean images and, for a paired set, degraded
    images; without such a layout, the index uses the first layout for which it finds any images.

    Attributes:
        name: name of the set.
        source: where to get the set, for error messages.
        layouts: possible layouts.
        count: required number of images; if None, any number is allowed.
        names: wildcard texts of all images in the set; other files are ignored. If `names` is None, all files belong to
            the set.
        digits: number of digits to which numbers in names are padded with zeros, so that the names of all layouts
            agree; 0 keeps numbers unchanged.
        called: format string that turns an image's wildcard texts into its name.
        unit: regular expression that is searched for in an image's name and whose first group is the source scene; if
            None, the name is the scene.
        unit_called: format string that turns the group matched by `unit` into the name of the scene.
        units: scenes that belong to the set; if None, all scenes belong to it.
        same: scene → identical scene of this or another set; both are given as the text that the group of `unit`
            matches.
        rows: names of the images along the first axis of a MATLAB file that contains blocks.
    """

    name: str
    source: str
    layouts: Sequence[FolderLayout]
    count: int | None = None
    names: Sequence[str] | None = None
    digits: int = 0
    called: str = "{}"
    unit: str | None = None
    unit_called: str = "{}"
    units: frozenset[str] | None = None
    rows: Sequence[str] = ()
    same: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, root: Path | None, scale: int = 1) -> list[ImageEntry]:
        """Return the images; see `petlir.benchmark.images.imageset.ImageIndex`.

        Raises:
            Missing: no images of the set exist.
            HalfThere: files of the set are missing.
            PetlirError: the set cannot be read, or cannot be obtained from the hub.
        """
        if root is None:
            first = self.layouts[0].clean
            raise Missing(f"PETLIR_DATA is not set; expected the folder that holds {first} ({self.source})")
        found = self._on_hub(root) or self._lying(root)
        keys = [key for key in sorted(found.clean) if self._wanted(key)]
        self._check(found, keys)
        lower = found.degraded
        if scale > 1 and (shrunk := found.layout.lower(scale)):
            lower = self._files(root, shrunk)
        return [
            ImageEntry(self._called(key), self._unit(key), found.clean[key], lower.get(key), scale if lower else 1)
            for key in keys
        ]

    def _on_hub(self, root: Path) -> Lying | None:
        pointer = root / f"{self.name}.hub"
        if not pointer.is_file():
            return None
        source = hub.parse(pointer)
        pictures = hub.pictures(source)
        where = PurePath(str(source))
        for layout in self.layouts:
            clean = self._keyed(tables.matching(pictures, layout.clean))
            degraded = self._keyed(tables.matching(pictures, layout.degraded)) if layout.degraded else {}
            if clean and (degraded or not layout.degraded):
                return Lying(where, layout, clean, degraded)
        paired = self.layouts[0].degraded is not None
        pairs = tables.by_side(pictures, paired, self.name)
        clean = self._keyed({self._key(name): readers[0] for name, readers in pairs.items()})
        degraded = self._keyed({self._key(name): readers[1] for name, readers in pairs.items()}) if paired else {}
        return Lying(where, BASE if paired else FolderLayout(BASE.clean), clean, degraded)

    def _lying(self, root: Path) -> Lying:
        some: Lying | None = None
        for layout in self.layouts:
            clean = self._files(root, layout.clean)
            degraded = self._files(root, layout.degraded) if layout.degraded else {}
            if clean and (degraded or not layout.degraded):
                return Lying(root, layout, clean, degraded)
            if clean or degraded:
                some = some or Lying(root, layout, clean, degraded)
        if some is None:
            raise Missing(self._missing(root))
        return some

    def _missing(self, root: Path) -> str:
        places = [root / layout.clean for layout in self.layouts]
        empty = next((place.parent for place in places if place.parent != root and place.parent.is_dir()), None)
        if empty is not None:
            suffixes = ", ".join(sorted(SUFFIXES))
            return f"{empty} holds no image of {self.name}; expected {suffixes}; source: {self.source}"
        more = "another layout" if len(places) == 2 else f"one of {len(places) - 1} other layouts"
        others = f", or in {more}" if places[1:] else ""
        where = f"expected {self.name} there{others} under PETLIR_DATA={root}"
        return f"{places[0]} is missing; {where}; source: {self.source}"

    def _files(self, root: Path, pattern: str) -> Found:
        return self._keyed(matching(root, pattern, self.rows))

    def _keyed(self, found: Found) -> Found:
        """Return the images with the numbers in their wildcard texts padded with zeros to `digits` digits."""
        if not self.digits:
            return found
        return {
            tuple(str(int(part)).zfill(self.digits) if part.isdigit() else part for part in key): reader
            for key, reader in found.items()
        }

    def _key(self, name: str) -> Key:
        """Return the wildcard texts of the pattern that correspond to an image's name."""
        before, after = map(re.escape, self.called.split("{}"))
        match = re.fullmatch(f"{before}(.+){after}", name)
        return (match[1] if match else name,)

    def _wanted(self, key: Key) -> bool:
        if self.names is not None and "-".join(key) not in self._chosen:
            return False
        return self.units is None or self._scene(key) in self.units

    @cached_property
    def _chosen(self) -> frozenset[str]:
        return frozenset(self.names or ())

    def _called(self, key: Key) -> str:
        return self.called.format("-".join(key))

    def _scene(self, key: Key) -> str:
        name = self._called(key)
        found = re.search(self.unit, name) if self.unit else None
        return found[1] if found else name

    def _unit(self, key: Key) -> str:
        scene = self._scene(key)
        scene = self.same.get(scene, scene)
        return self.unit_called.format(scene) if self.unit else scene

    def _check(self, found: Lying, keys: Sequence[Key]) -> None:
        """Reject an incomplete set, naming the missing files if they are known."""
        lacking, layout = self._lacking(found, keys), found.layout
        if lacking:
            shown = ", ".join(lacking[:SHOWN]) + (", …" if len(lacking) > SHOWN else "")
            each = 1 if layout.clean.endswith(BLOCKS) else self.count or len(keys)
            are = "is" if len(lacking) == 1 else "are"
            some = f"{len(lacking)} of {each * (2 if layout.degraded else 1)} files {are} missing: {shown}"
            raise HalfThere(f"{self.name} is incomplete: {some}; source: {self.source}")
        if self.count is not None and len(keys) != self.count:
            has = f"{found.root / layout.clean} has {counted(len(keys), 'image')}, expected {self.count}"
            raise HalfThere(f"{self.name} is incomplete or a different set: {has}; source: {self.source}")

    def _lacking(self, found: Lying, keys: Sequence[Key]) -> list[str]:
        """Return the missing files: clean images that are listed in `names`, and partners of existing images."""
        upper = partial(self._file, found.root, found.layout.clean, found.clean)
        have = {"-".join(key) for key in keys}
        lacking = [upper((name,)) for name in self.names or () if name not in have]
        if found.layout.degraded:
            lower = partial(self._file, found.root, found.layout.degraded, found.degraded)
            lacking += [lower(key) for key in keys if key not in found.degraded]
            lacking += [upper(key) for key in sorted(found.degraded) if self._wanted(key) and key not in found.clean]
        return list(dict.fromkeys(lacking))

    def _file(self, root: PurePath, pattern: str, beside: Found, key: Key) -> str:
        """Return the path of a missing image, with its number formatted like the numbers of existing files."""
        as_kept = (file_of(root, pattern, other, beside) == reader.where for other, reader in beside.items())
        if self.digits and not all(as_kept):
            key = tuple(str(int(part)) if part.isdigit() else part for part in key)
        return file_of(root, pattern, key, beside)
