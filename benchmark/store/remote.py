"""Stores at a URL. Cells are processed and read in a local folder, whose files are copied to and from the URL.

Only complete files are uploaded, a cell's record last, so that a cell with a visible record is complete. Remote files
are never moved or renamed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.images.cache import cache_folder
from petlir.benchmark.records.files import RECORD
from petlir.benchmark.records.schema import Record
from petlir.benchmark.store import Store
from petlir.benchmark.store.bucket import Bucket
from petlir.benchmark.store.index import Index
from petlir.benchmark.store.leases import Leases
from petlir.benchmark.writing import write_bytes

UPLOADED = ".uploaded"
"""A marker file in the folder of each uploaded cell; cells without it still have to be uploaded."""


def store_at(address: str | Path) -> Store:
    """Return the store in a folder or at a URL."""
    text = str(address)
    if "://" not in text:
        return Store(Path(text))
    if text.startswith("file://"):
        return Store(Path(text.removeprefix("file://")))
    url = text.rstrip("/")
    return RemoteStore(cache_folder() / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16], Bucket(url))


@dataclass(frozen=True)
class RemoteStore(Store):
    """A store at a URL.

    Attributes:
        root: the local working folder.
        bucket: the remote folder.
    """

    bucket: Bucket

    @property
    def address(self) -> str:
        """The URL."""
        return self.bucket.url

    @property
    def leases(self) -> Leases:
        """The leases on cells, kept at the URL."""
        return Leases(self.bucket.within("leases"))

    def within(self, name: str) -> Store:
        """Return a store in a subfolder of this store."""
        return RemoteStore(self.root / name, self.bucket.within(name))

    def create(self) -> Store:
        """Return this store; raise PetlirError if the local or the remote folder is not writable."""
        super().create()
        self.bucket.now()  # needs write access
        self.refresh()
        return self

    def refresh(self) -> None:
        """Download new records and learning-rate trials, upload what is missing, and drop cells removed remotely."""
        ours = {path.parent.relative_to(self.root).as_posix() for path in self.files()}
        theirs = set(self._cells())
        pending = {name for name in ours if not (self.root / name / UPLOADED).exists()}
        for name in pending:
            self.publish(self.root / name)
        for name in ours - theirs - pending:  # removed remotely
            shutil.rmtree(self.root / name)
        whole = {head.folder for head in Index.from_store(self).heads if not head.retried}
        self._bring(f"{name}/{RECORD}" for name in theirs if self.root / name not in whole)
        self._exchange("tuning")

    def fetch(self, path: Path, *, newest: bool = False) -> Path:
        """Return the local path of a file, downloaded if it exists remotely; `newest` replaces an older local copy."""
        if newest or not path.exists():
            self._bring([path.relative_to(self.root).as_posix()])
        return path

    def fetch_all(self) -> None:
        """Download all files of the finished cells, including adapters and images."""
        self.refresh()
        done = [head.folder for head in Index.from_store(self).heads if head.state == "done"]
        lacking = [folder for folder in done if not (folder / "restored").exists()]
        for folder in [self.root / "images", *lacking]:
            names = self.bucket.sizes(folder.relative_to(self.root).as_posix())
            self._bring(name for name in names if not (self.root / name).exists())

    def publish(self, path: Path) -> None:
        """Upload a file, or all files in a folder with the record last."""
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: (file.name == RECORD, file)):
            if file.name != UPLOADED:
                self.bucket.write(file.relative_to(self.root).as_posix(), file.read_bytes())
        if (path / RECORD).exists():
            write_bytes(path / UPLOADED, b"")

    def scratch(self) -> dict[str, int]:
        """Return the size of each work folder, local or remote, in bytes."""
        found: dict[str, int] = {}
        for name, size in self.bucket.sizes("work").items():
            key = name.split("/")[1]
            found[key] = found.get(key, 0) + size
        return super().scratch() | found

    def discard(self, name: str) -> None:
        """Remove a local work folder and its remote copy."""
        super().discard(name)
        self.bucket.remove(f"work/{name}")

    def commit(self, work: Path, final: Path) -> Record:
        """Move a work folder to the cell's final folder, and upload the final folder."""
        record = super().commit(work, final)
        self._upload_missing("images")
        self.publish(final)
        self.bucket.remove(work.relative_to(self.root).as_posix())
        return record

    def _cells(self) -> list[str]:
        """Return the remote folders of all cells."""
        folders = ["cells"]
        for _ in range(3):
            folders = [inner for folder in folders for inner in self.bucket.folders(folder)]
        return folders

    def _bring(self, names: Iterable[str]) -> None:
        for name, content in self.bucket.read_all(list(names)).items():
            path = self.root / name
            write_bytes(path, content)
            if path.name == RECORD:
                write_bytes(path.with_name(UPLOADED), b"")

    def _exchange(self, folder: str) -> None:
        """Synchronise a folder in both directions; files with equal names are taken to be identical."""
        self._bring(name for name in self._upload_missing(folder) if not (self.root / name).exists())

    def _upload_missing(self, folder: str) -> set[str]:
        """Upload the files of a folder that are missing remotely; return the names of the files already there."""
        theirs = set(self.bucket.sizes(folder))
        for path in (self.root / folder).rglob("*.*"):
            if path.relative_to(self.root).as_posix() not in theirs and not path.name.startswith("."):
                self.publish(path)
        return theirs
