"""The store of cells' results: a local or network folder.

STORE/cells/<backbone>/<task>/<label>-s<seed>-<key[:8]>/      record.json  adapter.safetensors  restored/…
                                                              restored@<way>/…  images of other restoration modes
STORE/images/<track>/<task>/<digest>/<set>/{degraded,clean}/  shared by all cells of that task with these test images
STORE/work/<key>/                                             a cell in progress, with its checkpoint
STORE/leases/<key>.<number>                                   the process that works on the cell, and its progress
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.cell import Cell
from petlir.benchmark.errors import PetlirError, Unwritable
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.records.origins import attributed, origins
from petlir.benchmark.store.blob_store import Folder
from petlir.benchmark.store.leases import Leases

if TYPE_CHECKING:
    from petlir.benchmark.records import schema

CHECKPOINT = "checkpoint.pt"
"""The name of the checkpoint file in a work folder, from which an interrupted training run resumes."""


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip("-.")[:80] or "unnamed"


@dataclass(frozen=True)
class Store:
    """The folder of all cells, finished and in progress, with their records.

    `petlir.benchmark.store.remote.RemoteStore` keeps the records at a URL, with a working copy in `root`. `RemoteStore`
    transfers files in `refresh`, `fetch`, `fetch_all` and `publish`; these methods do nothing in `Store`.

    Attributes:
        root: the folder.
    """

    root: Path

    def __post_init__(self) -> None:
        if (self.root.exists() or self.root.is_symlink()) and not self.root.is_dir():
            raise PetlirError(f"the store {self.root} is not a folder; expected a folder")

    @property
    def address(self) -> str:
        """The address for `petlir.benchmark.store.remote.store_at`."""
        return str(self.root)

    def within(self, name: str) -> Store:
        """Return a store in a subfolder of this store."""
        return Store(self.root / name)

    def refresh(self) -> None:
        """Download new records and learning-rate trials of other runners."""

    def fetch(self, path: Path, *, newest: bool = False) -> Path:
        """Return the local path of a file, downloaded if it exists remotely; `newest` replaces an older local copy."""
        return path

    def fetch_all(self) -> None:
        """Download all files of the finished cells, including adapters and images."""

    def publish(self, path: Path) -> None:
        """Upload a file, or all files in a folder with the record last."""

    @property
    def leases(self) -> Leases:
        """The leases on cells."""
        return Leases(Folder(self.root / "leases"))

    def create(self) -> Store:
        """Create the folder if necessary and return this store; raise PetlirError if the folder is not writable."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                return self
        except OSError as error:
            raise PetlirError(f"cannot write into the store {self.root}: {error.strerror}") from error

    def cell_folder(self, cell: Cell | schema.RecordedCell, key: str) -> Path:
        """Return the folder of a cell with this key."""
        name = f"{_slug(cell.label)}-s{cell.seed}-{key[:8]}"
        return self.root / f"cells/{_slug(cell.backbone)}/{_slug(cell.task)}/{name}"

    def shared(self, cell: Cell | schema.RecordedCell, data: str) -> Path:
        """Return the folder of degraded and clean images that cells of a task share; `data` is the images' digest."""
        return self.root.joinpath("images", cell.track, cell.task, data[:16])

    def shared_by(self, record: schema.Done) -> Path:
        """Return the folder of the degraded and clean images of a record; older stores have one folder per task."""
        own = self.shared(record.cell, record.digests.data)
        return own if own.is_dir() or not own.parent.is_dir() else own.parent

    def files(self) -> list[Path]:
        """Return the record files of all cells, sorted."""
        return sorted(self._files(), key=attrgetter("parts"))  # gives the order of paths, but much faster

    def holds_records(self) -> bool:
        """Return whether any cell has a record file."""
        return any(self._files())

    def _files(self) -> Iterator[Path]:
        return self.root.glob(f"cells/*/*/*/{RECORD}")

    def records(self, warn: Callable[[str], None] | None = None) -> Iterator[schema.Record]:
        """Yield all records, in the order of their folders; submitted records include their origin.

        Args:
            warn: receives one line for each invalid record file; invalid files are left out. Without `warn`, an invalid
                file raises PetlirError.
        """
        known = origins(self.root)
        for path in self.files():
            try:
                record = read_record(path)
                yield attributed(record, known.get(record.key))
            except PetlirError as error:
                if warn is None:
                    raise
                warn(str(error))

    def find(self, key: str) -> Path | None:
        """Return the folder of the cell with this key, or None if it has no record yet."""
        for path in self.root.glob(f"cells/*/*/*-{key[:8]}/{RECORD}"):
            if read_record(path).key == key:
                return path.parent
        return None

    def begin(self, key: str) -> Path:
        """Return the work folder of a cell, which contains a checkpoint if an earlier run was interrupted."""
        work = self.root / "work" / key
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(f"cannot write into the store {self.root}: {error.strerror}") from error
        self.fetch(work / CHECKPOINT)
        return work

    def scratch(self) -> dict[str, int]:
        """Return the size in bytes of each work folder, by the folder's name, which is usually a key."""
        folders = [path for path in self.root.glob("work/*") if path.is_dir()]
        return {path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in folders}

    def discard(self, name: str) -> None:
        """Remove a work folder.

        Raises:
            Unwritable: the folder cannot be removed.
        """
        try:
            shutil.rmtree(self.root / "work" / name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unwritable(f"cannot remove {self.root / 'work' / name}: {error.strerror}") from error

    def commit(self, work: Path, final: Path) -> schema.Record:
        """Move a complete work folder to the cell's final folder, replacing an older record of the same cell.

        Returns:
            The record.

        Raises:
            PetlirError: the work folder holds no record.
            Unwritable: the folder cannot be moved.
        """
        record = read_record(work / RECORD)
        older = work.with_name(f"{work.name}.old")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                shutil.rmtree(older, ignore_errors=True)
                final.rename(older)
            work.rename(final)
        except OSError as error:
            if older.exists() and not final.exists():
                older.rename(final)
            raise Unwritable(f"cannot move {work} to {final}: {error.strerror}") from error
        shutil.rmtree(older, ignore_errors=True)
        return record
