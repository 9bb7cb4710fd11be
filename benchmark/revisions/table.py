"""The committed table of revisions, `results/revisions.toml`, and the key components derived from it.

A line of the table maps a source file to its name in keys, its revision, and the digest of its normalised code. A file
that is moved keeps its name in keys. Several files may share a name and a revision, so that a file can be split without
changing keys. Files whose name in keys begins with `engine.` are part of the key of every cell.
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
"""The number of characters of a digest in a key component, enough to distinguish versions of a file."""


@dataclass(frozen=True)
class RevisionEntry:
    """An entry of the table of revisions, for one source file.

    Attributes:
        name: the source file's name in keys, e.g. `methods.lora`.
        revision: starts at 1 and is incremented whenever a change of the code affects its results.
        digest: SHA-256 of the normalised code.
    """

    name: str
    revision: int
    digest: str


def read(path: Path | None = None) -> Mapping[str, RevisionEntry]:
    """Return the entries of the table by file path, relative to the package and with `/`.

    Raises:
        PetlirError: the table is missing or damaged; the message names the location.
    """
    path = path or FILE
    try:
        status = path.stat()
    except OSError as error:
        raise PetlirError(f"revision file {path} cannot be read: {error.strerror}") from error
    return _read(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, size: int, changed: int) -> Mapping[str, RevisionEntry]:
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


def _entry(path: Path, file: str, row: object) -> RevisionEntry:
    match row:
        case {"name": str(name), "revision": int(revision), "digest": str(digest), **others}:
            if name and revision >= 1 and not isinstance(revision, bool) and not others:
                return RevisionEntry(name, revision, digest)
    raise PetlirError(f"revision file {path}: the entry of {file} is {row!r}; expected {FORM}")


def write(table: Mapping[str, RevisionEntry], path: Path | None = None) -> None:
    """Write the table atomically, sorted by file path."""
    from petlir.benchmark.writing import write_bytes

    lines = [_line(file, entry) for file, entry in sorted(table.items())]
    write_bytes(path or FILE, "\n".join([*HEADER, *lines, ""]).encode())


def _line(file: str, entry: RevisionEntry) -> str:
    name, digest = json.dumps(entry.name), json.dumps(entry.digest)
    return f"{json.dumps(file)} = {{ name = {name}, revision = {entry.revision}, digest = {digest} }}"


HEADER = (
    "# Source file -> its name in the keys of cells, its revision, and the digest of its normalised code.",
    "# `nox -s revisions` checks this table and tells how to change it.",
)


def relative(path: Path) -> str | None:
    """Return the path of a file relative to the package, with `/`; None for files outside the package."""
    if path.is_relative_to(PACKAGE):
        return path.relative_to(PACKAGE).as_posix()
    for part in PARTS:  # follow the links of an editable install
        folder = (PACKAGE / part).resolve()
        if path.is_relative_to(folder):
            return f"{part}/{path.relative_to(folder).as_posix()}"
    return None


def component(path: Path) -> str:
    """Return the key component of a source file.

    For a file of the package, the key component is `NAME@REVISION`, or `NAME@DIGEST` if the code differs from the
    revision in the table, so that results of modified code are never confused with results of the committed code. For
    a file outside the package, the key component is the digest of the normalised code.

    Raises:
        PetlirError: a file of the package has no entry in the table, or the table is damaged.
    """
    found = code_digest(path)
    file = relative(path)
    if file is None:
        return f"outside:{found[:SHORT]}"
    entry = entry_of(file, found, read())
    return f"{entry.name}@{entry.revision if entry.digest == found else found[:SHORT]}"


def components(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the distinct key components of several source files, sorted."""
    return tuple(sorted({component(path) for path in paths}))


def entry_of(file: str, digest: str, table: Mapping[str, RevisionEntry]) -> RevisionEntry:
    """Return a file's entry in the table; for a moved file with unchanged code, return the entry of its former path.

    Raises:
        PetlirError: the table has no entry for the file.
    """
    if file in table:
        return table[file]
    moved = (entry for known, entry in table.items() if entry.digest == digest and not (PACKAGE / known).exists())
    if (entry := next(moved, None)) is not None:
        return entry
    raise PetlirError(f"{FILE} has no entry for {file}; add one with `nox -s revisions -- --new {file}`")


def engine() -> tuple[str, ...]:
    """Return the key components of the engine, one for each engine module in the table.

    Raises:
        PetlirError: the table is damaged, or an engine module that it lists is missing.
    """
    return components(engine_files())


def engine_files() -> list[Path]:
    """Return the files of the engine modules in the table, including moved files.

    Raises:
        PetlirError: an engine module that the table lists is missing.
    """
    return [_place(file, entry) for file, entry in read().items() if entry.name.startswith(ENGINE)]


def _place(file: str, entry: RevisionEntry) -> Path:
    path = PACKAGE / file
    if path.exists():
        return path
    for other in source_files():
        if relative(other) not in read() and code_digest(other) == entry.digest:
            return other
    raise PetlirError(f"{FILE} lists {file}, which no longer exists; `nox -s revisions` lists the remedies")


def source_files() -> list[Path]:
    """Return every source file of the package."""
    return sorted(path for part in PARTS for path in (PACKAGE / part).rglob("*.py"))


def code_digest(path: Path) -> str:
    """Return the digest of a file's normalised code, recomputed only if the file has changed.

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
