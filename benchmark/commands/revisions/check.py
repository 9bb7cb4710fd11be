"""Comparison of the table of revisions with the code, and changes to the table."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.revisions import table
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.revisions.table import PACKAGE, RevisionEntry, code_digest, read, relative

WAYS = "nox -s revisions -- --raise {0} if its results changed, or nox -s revisions -- --same {0} if they did not"


def faults() -> Iterator[str]:
    """Yield a line, with remedies, for each keyed file that does not match the table and each entry without a file."""
    known = read()
    keyed = {str(relative(path)): path for path in keyed_files()}
    for file, path in keyed.items():
        if file not in known:
            moved = _moved_from(path)
            yield (
                f"{file} was moved from {moved}; run nox -s revisions -- --moved {file}"
                if moved
                else (f"{file} has no revision; run nox -s revisions -- --new {file}")
            )
        elif known[file].digest != code_digest(path):
            yield f"{file} differs from the code of revision {known[file].revision}; run {WAYS.format(file)}"
    moved_from = {_moved_from(path) for file, path in keyed.items() if file not in known}
    for file in known:
        if not (PACKAGE / file).exists() and file not in moved_from:
            yield f"{file} is in the table but no longer exists; run nox -s revisions -- --drop {file}"


def keyed_files() -> set[Path]:
    """Return the source files that cell keys depend on: the engine's modules, and the files of built-in plugins."""
    from petlir.benchmark.plugins import find

    sources = set(find().sources.values())
    return {path for source in sources for path in built_on(source) if relative(path)} | set(table.engine_files())


def raise_revision(file: str) -> str:
    """Increment the revision of a file and of all files with the same name in keys; return a line about the change."""
    known = dict(read())
    name, revision = _entry(file).name, _entry(file).revision + 1
    for other in [other for other, entry in known.items() if entry.name == name]:
        known[other] = RevisionEntry(name, revision, code_digest(PACKAGE / other))
    table.write(known)
    return f"{name} is at revision {revision}: cells and trials that depend on it are stale"


def keep_revision(file: str) -> str:
    """Keep the revision of a changed file that still computes the same results; return a line about the revision."""
    known = dict(read())
    known[file] = replace(_entry(file), digest=code_digest(PACKAGE / file))
    table.write(known)
    return f"{known[file].name} stays at revision {known[file].revision}"


def add(file: str, name: str = "") -> str:
    """Add an entry for a file: at revision 1, or with the name and revision of the file it was split from.

    Args:
        file: path relative to the package.
        name: name of the existing entry that the file belongs to; empty for a new entry.
    """
    known = dict(read())
    if file in known:
        raise PetlirError(f"{file} is already in the table, as {known[file].name}")
    if not (PACKAGE / file).is_file():
        raise PetlirError(f"{file} does not exist; expected a path relative to the package, e.g. methods/lora.py")
    revisions = {entry.name: entry.revision for entry in known.values()}
    if name and name not in revisions:
        raise unknown("name in the table of revisions", name, revisions)
    chosen = name or file.removesuffix(".py").replace("/", ".")
    revision = revisions.get(chosen, 1)
    known[file] = RevisionEntry(chosen, revision, code_digest(PACKAGE / file))
    table.write(known)
    return f"{file} is {chosen} at revision {revision}"


def move(file: str) -> str:
    """Assign the entry of a moved file to its new path; return a line about the change."""
    was = _moved_from(PACKAGE / file)
    if was is None:
        raise PetlirError(f"{file} does not have the code of any deleted file; expected a moved file")
    known = dict(read())
    known[file] = known.pop(was)
    table.write(known)
    return f"{file} was moved from {was}: {known[file].name} stays at revision {known[file].revision}"


def drop(file: str) -> str:
    """Remove the entry of a deleted file from the table; return a line about the change."""
    _entry(file)  # raises if the file is not in the table
    table.write({other: kept for other, kept in read().items() if other != file})
    return f"{file} is no longer in the table"


def _moved_from(path: Path) -> str | None:
    digest = code_digest(path)
    return next((file for file, e in read().items() if e.digest == digest and not (PACKAGE / file).exists()), None)


def _entry(file: str) -> RevisionEntry:
    known = read()
    if file not in known:
        near = difflib.get_close_matches(file, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PetlirError(f"{file} is not in the table of revisions{hint}")
    return known[file]
