"""The index of a store: a cache of the record fields needed for planning and counting.

The index is a file in the user's cache, named after a digest of the store's path; reading a store therefore does not
write to the store. A record is reread if its file has changed, and a lost or damaged index is rebuilt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.cache import cache_folder, store_text, stored_text
from petlir.benchmark.records.files import read_record
from petlir.benchmark.records.recorded_costs import RecordedCosts
from petlir.benchmark.records.schema import RETRIED, Nothing, RecordedCell
from petlir.benchmark.store import Store


class Head(BaseModel):
    """A record without its scores and its training curve; the fields have the same names as in `records.schema.Record`.

    Attributes:
        stamp: the time of the last write of the record's file in nanoseconds, and the size of the file.
        folder: the cell's folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stamp: tuple[int, int]
    key: str
    state: Literal["done", "failed", "out-of-memory", "not-applicable"]
    reason: str | None
    cell: RecordedCell
    key_components: dict[str, str]
    costs: RecordedCosts | Nothing
    finished: str
    device: str
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The cell's folder."""
        return self._folder

    @property
    def written(self) -> float:
        """The time of the last write of the record's file, in seconds since the epoch."""
        return self.stamp[0] / 1e9

    @property
    def retried(self) -> bool:
        """True if a repeated run would process the cell again."""
        return self.state in RETRIED

    @property
    def title(self) -> str:
        """Backbone, label, task and seed, for display."""
        return self.cell.title

    def locate(self, folder: Path) -> Self:
        """Set the cell's folder, which an index file states relative to the store's folder; return this object."""
        self._folder = folder
        return self


class _Content(BaseModel):
    """The content of an index file: each record's `Head`, by the folder of its cell."""

    form: Literal["petlir-index/2"]
    heads: dict[str, Head]


@dataclass(frozen=True)
class Index:
    """All records of a store, by key and by folder.

    Attributes:
        store: the store.
        heads: the records, in the order of their folders.
        problems: a line for each file that is not a record.
    """

    store: Store
    heads: tuple[Head, ...]
    problems: tuple[str, ...]
    _by_key: dict[str, Head] = field(default_factory=dict, repr=False)
    _by_place: dict[Path, list[Head]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_store(cls, store: Store) -> Self:
        """Return the current index of a store, and update its file if the cache is writable."""
        before = _read(store)
        heads: dict[str, Head] = {}
        problems = []
        changed = False
        for path in store.files():
            name = path.parent.relative_to(store.root).as_posix()
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            known = before.get(name)
            try:
                if known is None or known.stamp != stamp:
                    known, changed = _head(path, stamp), True
                heads[name] = known.locate(path.parent)
            except PetlirError as error:
                problems.append(str(error))
        if changed or heads.keys() != before.keys():
            with suppress(OSError):  # without a cache, every record is read each time
                store_text(file_of(store), _Content(form="petlir-index/2", heads=heads).model_dump_json())
        return cls(store, tuple(heads.values()), tuple(problems))

    def __post_init__(self) -> None:
        for head in self.heads:
            self._by_key[head.key] = head
            self._by_place.setdefault(_place(head.folder), []).append(head)

    @property
    def changed(self) -> float:
        """The time of the most recent write of any record, in seconds since the epoch."""
        return max((head.written for head in self.heads), default=0.0)

    def find(self, key: str) -> Head | None:
        """Return the record with this key, or None."""
        return self._by_key.get(key)

    def beside(self, folder: Path) -> Iterator[Head]:
        """Yield the records whose folders have the same name as `folder`, apart from the key at the end."""
        yield from self._by_place.get(_place(folder), ())


def file_of(store: Store) -> Path:
    """Return the file of a store's index in the user's cache."""
    return cache_folder() / "indexes" / f"{hashlib.sha256(str(store.root.resolve()).encode()).hexdigest()[:24]}.json"


def _place(folder: Path) -> Path:
    return folder.with_name(folder.name[:-9])


def _read(store: Store) -> dict[str, Head]:
    with suppress(OSError, ValueError):  # a cache: an unreadable file is regenerated
        return _Content.model_validate_json(stored_text(file_of(store)), strict=True).heads
    return {}


def _head(path: Path, stamp: tuple[int, int]) -> Head:
    record = read_record(path)
    return Head(
        stamp=stamp,
        key=record.key,
        state=record.state,
        reason=record.reason,
        cell=record.cell,
        key_components=record.key_components,
        costs=record.costs,
        finished=record.finished,
        device=record.device,
    )
