"""A folder at a URL that fsspec supports, such as `s3://bucket/folder`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import uuid4

from petlir.benchmark.errors import PetlirError, Unwritable

PATIENCE: Mapping[str, Mapping[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}}
}
"""Client options by URL scheme; with default options, a client tries for minutes to reach an unavailable server."""
WRITTEN = ("LastModified", "mtime", "updated", "last_modified")
"""Names under which file systems report the time of a file's last write."""


@dataclass(frozen=True)
class Bucket:
    """A folder at a URL, which implements `BlobStore`. All methods raise Unwritable if the URL is not reachable.

    Raises:
        PetlirError: the URL is not supported, or a package for this URL is not installed.
    """

    url: str

    def within(self, name: str) -> Bucket:
        """Return a subfolder."""
        return Bucket(f"{self.url}/{name}")

    def create(self, name: str, content: bytes) -> bool:
        """See `BlobStore`; uses a conditional write."""
        with self._told():
            try:
                self._fs.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
        return True

    def write(self, name: str, content: bytes) -> None:
        """See `BlobStore`."""
        with self._told():
            self._fs.pipe_file(self._path(name), content)

    def read(self, name: str) -> bytes | None:
        """See `BlobStore`."""
        return self.read_all([name]).get(name)

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return name → content for those files that exist; the files are fetched concurrently."""
        if not names:
            return {}
        with self._told():
            found: dict[str, bytes | Exception] = self._fs.cat([self._path(name) for name in names], on_error="return")
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {self._name(path): content for path, content in found.items() if isinstance(content, bytes)}

    def remove(self, name: str) -> None:
        """See `BlobStore`; a folder is removed with its contents."""
        with self._told(), suppress(FileNotFoundError):
            self._fs.rm(self._path(name), recursive=True)

    def written(self) -> Mapping[str, float]:
        """See `BlobStore`."""
        return {info["name"].rsplit("/", 1)[-1]: _when(info) for info in self._list("") if info["type"] == "file"}

    def now(self) -> float:
        """See `BlobStore`; uses the server's clock."""
        name = f".clock-{uuid4().hex}"
        self.write(name, b"")
        with self._told():
            moment = _when(self._fs.info(self._path(name)))
        self.remove(name)
        return moment

    def folders(self, name: str) -> list[str]:
        """Return the paths of the subfolders of the folder `name`, relative to the URL."""
        return [self._name(info["name"]) for info in self._list(name) if info["type"] == "directory"]

    def sizes(self, name: str) -> dict[str, int]:
        """Return the size in bytes of every file below the folder `name`, by the file's path relative to the URL."""
        with self._told():
            found = self._fs.find(self._path(name), detail=True)
        return {self._name(path): int(info["size"]) for path, info in found.items()}

    def _list(self, name: str) -> list[Any]:
        with self._told(), suppress(FileNotFoundError):
            listed: list[Any] = self._fs.ls(self._path(name), detail=True)
            return listed
        return []

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        import fsspec

        try:
            opened: tuple[Any, str] = fsspec.url_to_fs(
                self.url, use_listings_cache=False, **PATIENCE.get(self.url.split("://")[0], {})
            )
        except ImportError as error:
            raise PetlirError(
                f"the store {self.url} needs a package that is not installed: {error}; for s3: pip install 'petlir[s3]'"
            ) from error
        except ValueError as error:
            raise PetlirError(
                f"the store {self.url} is not a supported URL: {error}; expected a URL such as s3://BUCKET/FOLDER"
            ) from error
        return opened

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    def _path(self, name: str) -> str:
        return f"{self._opened[1]}/{name}".rstrip("/")

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self._opened[1]}/")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _faults() as error:
            line = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise Unwritable(f"the store {self.url} cannot be reached: {line}") from error


def _faults() -> tuple[type[Exception], ...]:
    """Return the exceptions that file systems and the libraries they use raise if a server is not reachable."""
    below = (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"))
    loaded = ((sys.modules.get(module), name) for module, name in below)
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))


def _when(info: Mapping[str, Any]) -> float:
    moment = next((info[name] for name in WRITTEN if name in info), 0.0)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
