"""The index of a store: what plans and counts need of each record, without reading the records again.

It lies in the user's cache under a name made from the store's path: reading a store writes nothing into it. A record
whose file has changed since is read again, and a lost or damaged index is made anew.
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
"""States of a record that a re-issued command works on again."""


@dataclass(frozen=True)
class Head:
    """A record without its scores and its curve.

    Attributes:
        folder: the cell's folder.
        key: the cell's content key.
        state: how it ended.
        reason: why it has no result; None where it has one.
        cell: what was asked for.
        key_components: what decided the result.
        costs: what it cost; empty where it did not finish.
        finished: when, ISO.
        device: where.
        written: when its file was last written, in seconds.
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
        """Whether a re-issued command works on it again."""
        return self.state in RETRIED

    @property
    def title(self) -> str:
        """The cell in words."""
        return f"{self.cell['backbone']} · {self.cell['label']} · {self.cell['task']} · seed {self.cell['seed']}"


@dataclass(frozen=True)
class Index:
    """All records of a store, by key and by folder.

    Attributes:
        store: the store.
        heads: the records, in the order of their folders.
        problems: a line for each file that is no record.
    """

    store: Store
    heads: tuple[Head, ...]
    problems: tuple[str, ...]
    _by_key: dict[str, Head] = field(default_factory=dict, repr=False)
    _by_place: dict[Path, list[Head]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, store: Store) -> Self:
        """Return the index of a store as it is now; its file is brought up to date where the cache can be written."""
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
            with suppress(OSError):  # without a cache every record is read each time
                store_text(file_of(store), json.dumps({"schema": SCHEMA, "heads": rows}))
        return cls(store, tuple(_head(store.root / name, row) for name, row in rows.items()), tuple(problems))

    def __post_init__(self) -> None:
        for head in self.heads:
            self._by_key[head.key] = head
            self._by_place.setdefault(_place(head.folder), []).append(head)

    @property
    def changed(self) -> float:
        """When a record was last written, in seconds."""
        return max((head.written for head in self.heads), default=0.0)

    def find(self, key: str) -> Head | None:
        """The record with this key."""
        return self._by_key.get(key)

    def beside(self, folder: Path) -> Iterator[Head]:
        """The records whose folders have the same name as `folder` up to their keys."""
        yield from self._by_place.get(_place(folder), ())


def file_of(store: Store) -> Path:
    """Return where the user's cache keeps the index of a store."""
    return cache_folder() / "indexes" / f"{hashlib.sha256(str(store.root.resolve()).encode()).hexdigest()[:24]}.json"


def _place(folder: Path) -> Path:
    return folder.with_name(folder.name[:-9])


def _read(store: Store) -> dict[str, Any]:
    with suppress(OSError, ValueError):  # a cache: what cannot be read is made again
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
