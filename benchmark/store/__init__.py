"""The store that keeps what cells leave: a folder of this machine, or of the network.

STORE/cells/<backbone>/<task>/<label>-s<seed>-<key[:8]>/   record.json  adapter.safetensors  restored/…
                                     restored@<way>/…          where images were restored in further ways
STORE/images/<track>/<task>/<set>/{degraded,clean}/        shared by all cells of that task
STORE/work/<key>/                                          a cell that is running, with its checkpoint
STORE/claims/<key>.<number>                                who works on it, and whether that process lives
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.cell import Cell
from petlir.benchmark.errors import PetlirError, Unwritable
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.store.blob_store import Folder
from petlir.benchmark.store.leases import Leases

if TYPE_CHECKING:
    from petlir.benchmark.records import schema

CHECKPOINT = "checkpoint.pt"
"""In a work folder: where training goes on after a kill."""


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip("-.")[:80] or "unnamed"


@dataclass(frozen=True)
class Store:
    """The folder that holds the records of all cells, finished and running.

    `petlir.benchmark.store.remote.RemoteStore` keeps them behind a URL and works on them in `root`; what it does more
    is in `refresh`, `fetch`, `fetch_all` and `publish`, which have nothing to do here.

    Attributes:
        root: the folder.
    """

    root: Path

    def __post_init__(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise PetlirError(f"the store {self.root} is a file; a folder was expected")

    @property
    def address(self) -> str:
        """What `petlir.benchmark.store.remote.store_at` finds it by."""
        return str(self.root)

    def within(self, name: str) -> Store:
        """A store in a folder of this one."""
        return Store(self.root / name)

    def refresh(self) -> None:
        """Have here what others have left since: records and trials."""

    def fetch(self, path: Path, *, newest: bool = False) -> Path:
        """Have a file of the store here, if there is one; returns its path. `newest`: even where an older one is."""
        return path

    def fetch_all(self) -> None:
        """Have everything of the finished cells here, adapters and images too."""

    def publish(self, path: Path) -> None:
        """Let others see a file, or all files of a folder, a record last."""

    @property
    def leases(self) -> Leases:
        """Who works on what."""
        return Leases(Folder(self.root / "leases"))

    def create(self) -> Store:
        """This store, its folder made where missing; PetlirError where nothing can be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                return self
        except OSError as error:
            raise PetlirError(f"cannot write into the store {self.root}: {error.strerror}") from error

    def cell_folder(self, cell: Cell | schema.Cell, key: str) -> Path:
        """Return the folder of a cell with this key."""
        name = f"{_slug(cell.label)}-s{cell.seed}-{key[:8]}"
        return self.root / "cells" / _slug(cell.backbone) / _slug(cell.task) / name

    def shared(self, cell: Cell | schema.Cell) -> Path:
        """Return the folder of the degraded and clean images that all cells of a task share."""
        return self.root.joinpath("images", cell.track, cell.task)

    def files(self) -> list[Path]:
        """The record files of all cells, sorted."""
        return sorted(self.root.glob(f"cells/*/*/*/{RECORD}"))

    def records(self, warn: Callable[[str], None] | None = None) -> Iterator[schema.Record]:
        """Yield all records, in the order of their folders.

        Args:
            warn: gets one line on each file that is not a record, which is then left out; without it, such a
                file raises PetlirError.
        """
        for path in self.files():
            try:
                yield read_record(path)
            except PetlirError as error:
                if warn is None:
                    raise
                warn(str(error))

    def find(self, key: str) -> Path | None:
        """The folder of the cell with this key; None where it has no record yet."""
        for path in self.root.glob(f"cells/*/*/*-{key[:8]}/{RECORD}"):
            if read_record(path).key == key:
                return path.parent
        return None

    def begin(self, key: str) -> Path:
        """The work folder of a cell; where an earlier run was killed, it still holds its checkpoint."""
        work = self.root / "work" / key
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(f"cannot write into the store {self.root}: {error.strerror}") from error
        self.fetch(work / CHECKPOINT)
        return work

    def scratch(self) -> dict[str, int]:
        """What is in work folders: its name, a key as a rule → bytes."""
        folders = [path for path in self.root.glob("work/*") if path.is_dir()]
        return {path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in folders}

    def discard(self, name: str) -> None:
        """Remove a work folder.

        Raises:
            Unwritable: it cannot be removed.
        """
        try:
            shutil.rmtree(self.root / "work" / name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unwritable(f"cannot remove {self.root / 'work' / name}: {error.strerror}") from error

    def commit(self, work: Path, final: Path) -> schema.Record:
        """Make a whole work folder the cell's own, by renaming; an older record of the same cell gives way.

        Returns:
            The record.

        Raises:
            PetlirError: the work folder holds no record.
            Unwritable: it cannot be renamed.
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
