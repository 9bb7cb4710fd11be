"""The committed table of revisions, `results/revisions.toml`, and what a key says of a file by it.

A line of the table maps a source file to the name under which keys know it, to its revision, and to the digest of its
normalised code. A moved file keeps its name; files of one name share a revision, so that a file may be split. Files
whose name begins with `engine.` stand in the key of every cell.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.revisions import normalised

PACKAGE = Path(__file__).parents[2]
FILE = PACKAGE / "results" / "revisions.toml"
PARTS = ("benchmark", "methods", "tasks", "reports")
FORM = '"FILE" = { name = "NAME", revision = 1, digest = "HEX" }'
ENGINE = "engine."
SHORT = 12
"""Characters of a digest in a key's component: enough to tell two versions of one file apart."""


@dataclass(frozen=True)
class Entry:
    """A line of the table.

    Attributes:
        name: the name in keys, e.g. `methods.lora`.
        revision: raised whenever the code computes something else; from 1 on.
        digest: SHA-256 of the normalised code.
    """

    name: str
    revision: int
    digest: str


def read(path: Path | None = None) -> Mapping[str, Entry]:
    """Return the table: file, relative to the package with `/`, → entry.

    Raises:
        PetlirError: it is missing or damaged; says where.
    """
    path = path or FILE
    try:
        status = path.stat()
    except OSError as error:
        raise PetlirError(f"revision file {path} cannot be read: {error.strerror}") from error
    return _read(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, size: int, changed: int) -> Mapping[str, Entry]:
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PetlirError(f"revision file {path} is damaged: {error}; expected lines {FORM}") from error
    found = {file: _entry(path, file, row) for file, row in rows.items()}
    revisions: dict[str, tuple[str, int]] = {}
    for file, entry in found.items():
        first, revision = revisions.setdefault(entry.name, (file, entry.revision))
        if revision != entry.revision:
            raise PetlirError(
                f"revision file {path}: {first} and {file} are both {entry.name}, at revisions {revision} and "
                f"{entry.revision}; expected one revision"
            )
    return found


def _entry(path: Path, file: str, row: object) -> Entry:
    match row:
        case {"name": str(name), "revision": int(revision), "digest": str(digest), **others}:
            if name and revision >= 1 and not isinstance(revision, bool) and not others:
                return Entry(name, revision, digest)
    raise PetlirError(f"revision file {path}: the entry of {file} is {row!r}; expected {FORM}")


def write(table: Mapping[str, Entry], path: Path | None = None) -> None:
    """Write the table, whole or not at all, in the order of its files."""
    from petlir.benchmark.writing import write_bytes

    lines = [_line(file, entry) for file, entry in sorted(table.items())]
    write_bytes(path or FILE, "\n".join([*HEADER, *lines, ""]).encode())


def _line(file: str, entry: Entry) -> str:
    name, digest = json.dumps(entry.name), json.dumps(entry.digest)
    return f"{json.dumps(file)} = {{ name = {name}, revision = {entry.revision}, digest = {digest} }}"


HEADER = (
    "# Source file -> its name in the keys of cells, its revision, and the digest of its normalised code.",
    "# `nox -s revisions` checks this table and tells how to change it.",
)


def relative(path: Path) -> str | None:
    """Return a file of the package relative to it, with `/`; None for any other file."""
    if path.is_relative_to(PACKAGE):
        return path.relative_to(PACKAGE).as_posix()
    for part in PARTS:  # links of an editable install, followed
        folder = (PACKAGE / part).resolve()
        if path.is_relative_to(folder):
            return f"{part}/{path.relative_to(folder).as_posix()}"
    return None


def component(path: Path) -> str:
    """Return what a key says of a source file.

    A file of ours is `NAME@REVISION`; `NAME@DIGEST` where its code is not the one of its revision, so that results of
    changed code are never taken for those of the committed code. An outside file is the digest of its normalised code.

    Raises:
        PetlirError: a file of ours has no entry in the table, or the table is damaged.
    """
    found = code_digest(path)
    file = relative(path)
    if file is None:
        return f"outside:{found[:SHORT]}"
    entry = entry_of(file, found, read())
    return f"{entry.name}@{entry.revision if entry.digest == found else found[:SHORT]}"


def components(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return what a key says of several source files, each name once, sorted."""
    return tuple(sorted({component(path) for path in paths}))


def entry_of(file: str, digest: str, table: Mapping[str, Entry]) -> Entry:
    """Return the entry of a file, also where the file has been moved since and its code is the same.

    Raises:
        PetlirError: there is none.
    """
    if file in table:
        return table[file]
    moved = (entry for known, entry in table.items() if entry.digest == digest and not (PACKAGE / known).exists())
    if (entry := next(moved, None)) is not None:
        return entry
    raise PetlirError(f"{FILE} has no entry for {file}; add one with `nox -s revisions -- --new {file}`")


def engine() -> tuple[str, ...]:
    """Return what every key says of the engine: its listed modules by revision.

    Raises:
        PetlirError: the table is damaged, or a listed module is gone.
    """
    return components(engine_files())


def engine_files() -> list[Path]:
    """Return the engine's listed modules, those that have been moved included.

    Raises:
        PetlirError: a listed module is gone.
    """
    return [_place(file, entry) for file, entry in read().items() if entry.name.startswith(ENGINE)]


def _place(file: str, entry: Entry) -> Path:
    path = PACKAGE / file
    if path.exists():
        return path
    for other in source_files():
        if relative(other) not in read() and code_digest(other) == entry.digest:
            return other
    raise PetlirError(f"{FILE} lists {file}, which is gone; `nox -s revisions` tells what to do")


def source_files() -> list[Path]:
    """Return every source file of the package."""
    return sorted(path for part in PARTS for path in (PACKAGE / part).rglob("*.py"))


def code_digest(path: Path) -> str:
    """Return the digest of a file's normalised code; computed again only where the file has changed.

    Raises:
        PetlirError: the file cannot be read, or is not Python.
    """
    try:
        status = path.stat()
        return _code_digest(path, status.st_size, status.st_mtime_ns)
    except (OSError, SyntaxError) as error:
        raise PetlirError(f"source file {path} cannot be read: {error}") from error


@lru_cache(maxsize=1024)
def _code_digest(path: Path, size: int, changed: int) -> str:
    return normalised.digest(path.read_bytes())
