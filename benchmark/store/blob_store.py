"""Folders of small files shared by several machines, used for leases."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from petlir.benchmark.errors import Unwritable
from petlir.benchmark.writing import write_bytes


class BlobStore(Protocol):
    """A folder of small files shared by several machines. All methods raise Unwritable if the folder is unreachable."""

    def create(self, name: str, content: bytes) -> bool:
        """Create a file and return True; return False if it exists. Of two concurrent calls, only one returns True."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, replacing an existing one."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None if it does not exist."""

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""

    def written(self) -> Mapping[str, float]:
        """Return the time of the last write of each file, by name, in seconds of the store's own clock."""

    def now(self) -> float:
        """Return the current time of the store's own clock, in seconds."""


@dataclass(frozen=True)
class Folder:
    """A local or network folder."""

    path: Path

    def create(self, name: str, content: bytes) -> bool:
        """See `BlobStore`."""
        with self._told():
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                file = (self.path / name).open("xb")
            except FileExistsError:
                return False
            try:
                with file:
                    file.write(content)
            except OSError:  # on a full disk the file is empty, and would look like another machine's lease
                self.remove(name)
                raise
        return True

    def write(self, name: str, content: bytes) -> None:
        """See `BlobStore`."""
        write_bytes(self.path / name, content)

    def read(self, name: str) -> bytes | None:
        """See `BlobStore`."""
        with self._told():
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """See `BlobStore`."""
        with self._told():
            (self.path / name).unlink(missing_ok=True)

    def written(self) -> Mapping[str, float]:
        """See `BlobStore`."""
        found = {}
        with self._told(), suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # removed after the listing
                    if not entry.name.startswith("."):
                        found[entry.name] = entry.stat().st_mtime
        return found

    def now(self) -> float:
        """See `BlobStore`; a network folder uses the clock of its server."""
        with self._told(), tempfile.NamedTemporaryFile(dir=self.path, prefix=".clock-") as file:
            return Path(file.name).stat().st_mtime

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unwritable(f"cannot use {self.path}: {error.strerror}") from error
