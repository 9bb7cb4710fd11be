"""The index of a store: the fields of each record that plans and counts need, without reading the records again.

It is a file in the user's cache, named by a digest of the store's path, so that reading a store does not write to it. A
record is read again if its file has changed, and a lost or damaged index is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.cache import cache_folder, store_text
from petlir.benchmark.records.files import read_record
from petlir.benchmark.store import Store

SCHEMA = "petlir-index/1"
KEPT = ("key", "state", "reason", "cell", "key_components", "costs", "finished")
RETRIED = ("failed", "out-of-memory")
"""States of a record whose cell is processed again when a command is repeated."""


@dataclass(frozen=True)
class Head:
    """A record without its scores and its curve.

    Attributes:
        folder: the cell's folder.
        key: the cell's content key.
        state: final state.
        reason: why it has no result; None if it has one.
        cell: the requested cell.
        key_components: the components of the key.
        costs: the costs; empty if the cell did not finish.
        finished: finishing time, ISO.
        device: the device.
        written: time of its file's last write, in seconds.
    """

    folder: Path
    key: str
    state: str
    reason: str | None
    cell: Mapping[str, Any]
    key_components: Mapping[str, str]
    costs: Mapping[str, Any]
    finished: str
    device: str
    written: float

    @property
    def retried(self) -> bool:
        """Whether the cell is processed again when a command is repeated."""
        return self.state in RETRIED

    @property
    def title(self) -> str:
        """The cell's description."""
        return f"{self.cell['backbone']} · {self.cell['label']} · {self.cell['task']} · seed {self.cell['seed']}"


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
    def of(cls, store: Store) -> Self:
        """Return the current index of a store, and update its file if the cache is writable."""
        before = _read(store)
        rows: dict[str, Any] = {}
        problems = []
        for path in store.files():
            name = path.parent.relative_to(store.root).as_posix()
            status = path.stat()
            stamp = [status.st_mtime_ns, status.st_size]
            known = before.get(name)
            try:
                rows[name] = known if known and known["stamp"] == stamp else {"stamp": stamp, **_kept(path)}
            except PetlirError as error:
                problems.append(str(error))
        if rows != before:
            with suppress(OSError):  # without a cache, every record is read each time
                store_text(file_of(store), json.dumps({"schema": SCHEMA, "heads": rows}))
        return cls(store, tuple(_head(store.root / name, row) for name, row in rows.items()), tuple(problems))

    def __post_init__(self) -> None:
        for head in self.heads:
            self._by_key[head.key] = head
            self._by_place.setdefault(_place(head.folder), []).append(head)

    @property
    def changed(self) -> float:
        """The time of the last write of a record, in seconds."""
        return max((head.written for head in self.heads), default=0.0)

    def find(self, key: str) -> Head | None:
        """Return the record with this key, or None."""
        return self._by_key.get(key)

    def beside(self, folder: Path) -> Iterator[Head]:
        """Yield the records whose folders have the same name as `folder` except for their keys."""
        yield from self._by_place.get(_place(folder), ())


def file_of(store: Store) -> Path:
    """Return the file of a store's index in the user's cache."""
    return cache_folder() / "indexes" / f"{hashlib.sha256(str(store.root.resolve()).encode()).hexdigest()[:24]}.json"


def _place(folder: Path) -> Path:
    return folder.with_name(folder.name[:-9])


def _read(store: Store) -> dict[str, Any]:
    with suppress(OSError, ValueError):  # a cache: an unreadable file is rebuilt
        content = json.loads(file_of(store).read_bytes())
        if isinstance(content, dict) and content.get("schema") == SCHEMA and isinstance(content.get("heads"), dict):
            return {name: row for name, row in content["heads"].items() if set(row) == {"stamp", "device", *KEPT}}
    return {}


def _kept(path: Path) -> dict[str, Any]:
    record = read_record(path)
    return {name: record[name] for name in KEPT} | {"device": record["environment"]["device"]}


def _head(folder: Path, row: Mapping[str, Any]) -> Head:
    kept = {name: value for name, value in row.items() if name != "stamp"}
    return Head(folder, **kept, written=row["stamp"][0] / 1e9)
