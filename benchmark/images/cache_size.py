"""Measure the size of the user's cache, and remove files to keep the cache below a limit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.errors import PetlirError, Unwritable
from petlir.benchmark.images.cache import cache_folder

KEPT = "stores"
"""The folder of working copies of remote stores; the copies may contain results that exist nowhere else."""
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache, with its size in bytes and the time of its last use in seconds since 1970."""

    path: Path
    bytes: int
    used: float


def cached_files() -> Iterator[CachedFile]:
    """Yield the files in the cache that can be recreated or downloaded again."""
    folder = cache_folder()
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts[0] != KEPT and path.is_file() and not path.is_symlink():
            status = path.stat()
            yield CachedFile(path, status.st_size, max(status.st_atime, status.st_mtime))


def sizes() -> Counter[str]:
    """Return the total size in bytes of the `cached_files` in each top-level folder of the cache, by name."""
    folder, found = cache_folder(), Counter[str]()
    for file in cached_files():
        found[file.path.relative_to(folder).parts[0]] += file.bytes
    return found


def cap(limit: int, *, keep: bool = False) -> list[CachedFile]:
    """Remove the least recently used files until the cache is no larger than `limit`; return the removed files.

    A process that has memory-mapped a removed file can use the file until the process ends.

    Args:
        limit: maximum size of the cache in bytes.
        keep: whether to remove nothing and only return the files that would be removed.

    Raises:
        Unwritable: a file cannot be removed.
    """
    files = sorted(cached_files(), key=lambda file: (file.used, file.path))
    excess, removed = sum(file.bytes for file in files) - limit, []
    for file in files:
        if excess <= 0:
            break
        if not keep:
            try:
                file.path.unlink(missing_ok=True)
            except OSError as error:
                raise Unwritable(f"cannot remove {file.path}: {error.strerror}") from error
        excess -= file.bytes
        removed.append(file)
    return removed


def parse_size(text: str) -> int:
    """Parse a size in bytes, e.g. `500M` or `10G`.

    Raises:
        PetlirError: the text is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise PetlirError(f"--cache {text}: expected a size such as 500M or 10G")
    return round(float(found[1]) * UNITS[found[2].upper()])


def in_units(size: float) -> str:
    """Format a size, e.g. `1.5 GiB`."""
    unit = next((unit for unit in ("K", "M", "G") if size < 1024 * UNITS[unit]), "T")
    return f"{size / UNITS[unit]:.1f} {unit}iB"
