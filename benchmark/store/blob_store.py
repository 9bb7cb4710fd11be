"""Folders of small files that several machines share; what claims are kept in."""

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
    """A folder of small files that several machines share. All methods raise Unwritable where it is out of reach."""

    def create(self, name: str, content: bytes) -> bool:
        """Make a file; False where it is there already. Of two that try at once, one gets True."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file over what is there."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None where it is gone."""

    def remove(self, name: str) -> None:
        """Remove a file, where it is there."""

    def written(self) -> Mapping[str, float]:
        """File name → when it was last written, in seconds of the store's own clock."""

    def now(self) -> float:
        """The store's own clock, in seconds."""


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, or of the network."""

    path: Path

    def create(self, name: str, content: bytes) -> bool:
        """See `BlobStore`."""
        with self._told():
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                with (self.path / name).open("xb") as file:
                    file.write(content)
            except FileExistsError:
                return False
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
                with suppress(FileNotFoundError):  # removed since
                    if not entry.name.startswith("."):
                        found[entry.name] = entry.stat().st_mtime
        return found

    def now(self) -> float:
        """See `BlobStore`; a network folder keeps its server's time."""
        with self._told(), tempfile.NamedTemporaryFile(dir=self.path, prefix=".clock-") as file:
            return Path(file.name).stat().st_mtime

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unwritable(f"cannot use {self.path}: {error.strerror}") from error
