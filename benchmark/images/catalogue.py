"""The catalogue of image sets: bundled sets, and the sets described in `sets/*.toml`.

Each table in `sets/*.toml` describes an image set (`title`, `licence`, `citation`, `bibtex`; the `origins` table holds
defaults for sets of the same origin), how to obtain it (`source`, a page; `get`, a command; `mirrors`, repositories of
the hub), its images (`count`, `names`, `units`, `same`: see `petlir.benchmark.images.listed`), and the folders and file
names by which its images are found and paired (`layouts`: see `petlir.benchmark.images.layouts`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import NotRequired, TypedDict, cast
from urllib.parse import quote, unquote

from petlir.benchmark.errors import unknown
from petlir.benchmark.images.bundled import LEAVES, photographs
from petlir.benchmark.images.imageset import ImageSet
from petlir.benchmark.images.layouts import FolderLayout, expand
from petlir.benchmark.images.listed import CataloguedIndex
from petlir.benchmark.images.pairs import Part, UserPairs, set_name
from petlir.benchmark.task import FIRST

SETS = Path(__file__).parent / "sets"
FOLDER, PAIRS = "folder:", "pairs:"


def image_set(name: str) -> ImageSet:
    """Return the image set with this name or alias; `folder:PATH` names a folder below the data folder.

    The name `first:16:NAME` selects 16 images of the set NAME.

    Raises:
        PetlirError: the name is unknown; the message suggests the nearest valid name.
    """
    if name.startswith(FIRST):
        count, _, whole = name.removeprefix(FIRST).partition(":")
        return image_set(whole).first(int(count))
    if name.startswith(FOLDER):
        return _folder(name.removeprefix(FOLDER))
    if name.startswith(PAIRS):
        return _pairs(name.removeprefix(PAIRS))
    sets, aliases = _sets()
    if aliases.get(name, name) not in sets:
        raise unknown("image set", name, sets)
    return sets[aliases.get(name, name)]


def names() -> list[str]:
    """Return the names of all image sets, bundled sets first."""
    return list(_sets()[0])


@cache
def _sets() -> tuple[Mapping[str, ImageSet], Mapping[str, str]]:
    """Return name → set, and alias → name of a set."""
    sets = {entry.name: entry for entry in _bundled()}
    aliases: dict[str, str] = {}
    for path in sorted(SETS.glob("*.toml")):
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        origins = tables.pop("origins")
        for name, table in tables.items():
            sets[name] = _described(name, cast("_Described", {**origins[table["origin"]], **table}))
            aliases.update(dict.fromkeys(table.get("aliases", ()), name))
    return sets, aliases


class _Described(TypedDict):
    """A table in `sets/*.toml`, with missing fields filled in from the `origins` table."""

    title: str
    licence: str
    citation: str
    bibtex: str
    source: str
    get: NotRequired[str]
    mirrors: NotRequired[list[str]]
    count: int | None
    names: NotRequired[str]
    units: NotRequired[list[str]]
    rows: NotRequired[str]
    digest: NotRequired[str]
    digits: NotRequired[int]
    called: NotRequired[str]
    unit: NotRequired[str]
    unit_called: NotRequired[str]
    same: NotRequired[dict[str, str]]
    layouts: list[str | dict[str, str]]


def _described(name: str, table: _Described) -> ImageSet:
    layouts = [FolderLayout(where) if isinstance(where, str) else FolderLayout(**where) for where in table["layouts"]]
    listed = CataloguedIndex(
        name,
        table["source"],
        layouts,
        table["count"],
        names=expand(table["names"]) if "names" in table else None,
        units=frozenset(table["units"]) if "units" in table else None,
        rows=table.get("rows", "").split(),
        digits=table.get("digits", 0),
        called=table.get("called", "{}"),
        unit=table.get("unit"),
        unit_called=table.get("unit_called", "{}"),
        same=table.get("same", {}),
    )
    return ImageSet(
        name=name,
        title=table["title"],
        domain="photographs",
        licence=table["licence"],
        citation=table["citation"],
        source=table["source"],
        paired=layouts[0].degraded is not None,
        find=listed,
        bibtex=table["bibtex"].strip(),
        get=table.get("get", ""),
        mirrors=tuple(table.get("mirrors", ())),
        count=table["count"],
        known=table.get("digest"),
    )


def _bundled() -> Iterator[ImageSet]:
    leaves = partial(
        ImageSet,
        domain="procedural",
        licence="Apache-2.0",
        citation="Lee et al., Occlusion models for natural images, IJCV 2001",
        source="drawn by petlir.benchmark.images.procedural",
        paired=False,
    )
    for part, find in LEAVES.items():
        yield leaves(f"leaves-{part}", f"Dead leaves ({part})", find=find, count=find.count)
    yield ImageSet(
        name="photographs",
        title="Four photographs",
        domain="photographs",
        licence="public domain and CC0",
        citation="van der Walt et al., scikit-image, PeerJ 2014",
        source="included in scikit-image",
        paired=False,
        find=photographs,
        count=4,
    )


def _folder(path: str) -> ImageSet:
    """Return the set of clean images in a folder below the data folder, for the tasks of plugins."""
    name, source = path.replace("/", "-"), "your own"
    find = CataloguedIndex(name, source, [FolderLayout(f"{path}/*")])
    return ImageSet(name, f"Folder {path}", "photographs", source, source, source, False, find)


def own_pairs(folder: Path, part: Part, scale: int) -> str:
    """Return the name by which `image_set` finds a part of a user's folder of pairs."""
    return f"{PAIRS}{part}:{scale}:{quote(str(folder))}"


def _pairs(text: str) -> ImageSet:
    part, scale, path = text.split(":")
    folder, source = Path(unquote(path)), "your own"
    find = UserPairs(folder, cast("Part", part), int(scale))
    name, title = set_name(folder, cast("Part", part)), f"{folder.name}, own pairs ({part})"
    return ImageSet(name, title, "photographs", source, source, source, True, find)
