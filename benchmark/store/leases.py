"""Leases: files that name the process working on a cell; the process rewrites its file as a heartbeat.

A lease is a small numbered file, `<key>.<number>`, that can be created only once. The process that creates the file
with the next number holds the lease on the key, and rewrites the file every few seconds. If the process is killed or
disconnected, the rewriting stops, and another process may create the file with the next number. Thus no lease lasts
forever, and heartbeats are timed by the store's own clock only.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Self

from petlir.benchmark.errors import Interruption, Unwritable
from petlir.benchmark.records.json_files import parsed
from petlir.benchmark.store.blob_store import BlobStore
from petlir.benchmark.store.process import Process

BEAT = 10.0
"""Seconds between two heartbeats."""
DEAD = 60.0
"""Seconds without a heartbeat after which a holder on another machine counts as dead."""

ELSEWHERE = "elsewhere"
"""The state of a job that another runner works on."""


class LeaseLost(Interruption):
    """The loss of a lease to another process because no heartbeat was written for too long."""


@dataclass(frozen=True)
class LeaseInfo:
    """The content of a lease file.

    Attributes:
        key: the leased key.
        title: description of the work that the key denotes.
        process: the holder.
        since: start of the lease, ISO 8601.
        share: completed fraction of the work, in [0, 1].
        text: status text, for display.
        released: whether the holder gave the lease up without a result.
        alive: whether the holder still works on the key.
    """

    key: str
    title: str
    process: Process
    since: str
    share: float = 0.0
    text: str = ""
    released: bool = False
    alive: bool = True

    @property
    def content(self) -> bytes:
        """The lease file's content as JSON."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "alive"}).encode()


def _parse(content: bytes) -> LeaseInfo | None:
    try:
        plain = parsed(content)
        return LeaseInfo(**{**plain, "process": Process(**plain["process"])})
    except (ValueError, TypeError, KeyError):
        return None  # the file was read while being written


@dataclass(frozen=True)
class Leases:
    """The leases of a store."""

    blobs: BlobStore

    @contextmanager
    def hold(self, key: str, title: str) -> Iterator[Lease | None]:
        """Hold the lease on a key inside the `with` block, or yield None if another process holds the lease.

        Raises:
            Unwritable: the store is not reachable.
        """
        lease = self._take(key, title)
        if lease is None:
            yield None
            return
        try:
            with lease:
                yield lease
        finally:
            with suppress(Unwritable):  # a lease that cannot be released becomes free when this process ends
                self._give_back(lease)

    def free(self, key: str) -> bool:
        """Return whether no process works on the key."""
        numbers = self._numbers(key)
        return not numbers or self._abandoned(key, *max(numbers.items()))

    def standing(self) -> list[LeaseInfo]:
        """Return the leases of live and dead processes, without writing to the store.

        Reading the store's own clock requires a write, so here the heartbeats of other machines are compared with this
        machine's clock. No lease is taken over on the basis of this comparison.
        """
        written, now = self.blobs.written(), time.time()
        newest: dict[str, int] = {}
        for name in written:
            key, number = _split(name)
            newest[key] = max(number, newest.get(key, 0))
        found = []
        for key, number in sorted(newest.items()):
            name = f"{key}.{number}"
            lease_info = _parse(self.blobs.read(name) or b"")
            if lease_info is None or lease_info.released:
                continue
            alive = lease_info.process.alive
            found.append(replace(lease_info, alive=now - written[name] < DEAD if alive is None else alive))
        return found

    def _take(self, key: str, title: str) -> Lease | None:
        numbers = self._numbers(key)
        last = max(numbers, default=0)
        if last and not self._abandoned(key, last, numbers[last]):
            return None
        lease_info = LeaseInfo(key, title, Process.this(), datetime.now(UTC).isoformat(timespec="seconds"))
        lease = Lease(self, lease_info, last + 1)
        if not self.blobs.create(lease.name, lease_info.content):
            return None
        if lease.check_lost():  # the numbers read above are outdated
            self.blobs.remove(lease.name)
            return None
        for number in numbers:
            if number < last:  # the last file stays, so that a process with an outdated list cannot create it again
                self.blobs.remove(f"{key}.{number}")
        return lease

    def _give_back(self, lease: Lease) -> None:
        """Remove all leases of the key if the work on it is finished, or else mark the lease as released."""
        if lease.done:
            for number in self._numbers(lease.lease_info.key):
                self.blobs.remove(f"{lease.lease_info.key}.{number}")
        elif not lease.check_lost():
            try:
                self.blobs.write(lease.name, replace(lease.lease_info, released=True).content)
            except Unwritable:  # removing a file works even on a full disk
                self.blobs.remove(lease.name)

    def _abandoned(self, key: str, number: int, written: float) -> bool:
        content = self.blobs.read(f"{key}.{number}")
        if content is None:
            return False
        lease_info = _parse(content)
        if lease_info is not None and lease_info.released:
            return True
        alive = lease_info.process.alive if lease_info else None
        return self.blobs.now() - written > DEAD if alive is None else not alive

    def _numbers(self, key: str) -> dict[int, float]:
        split = ((*_split(name), when) for name, when in self.blobs.written().items())
        return {number: when for name, number, when in split if name == key and number}


class Lease:
    """A lease held by this process; a thread writes heartbeats inside `with lease:`.

    Attributes:
        done: True once the work on the key is finished; the lease is then removed rather than marked as released.
    """

    def __init__(self, leases: Leases, lease_info: LeaseInfo, number: int) -> None:
        self.lease_info, self.done = lease_info, False
        self._leases, self._number = leases, number
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="signs of life", daemon=True)

    @property
    def name(self) -> str:
        """The name of the lease's file."""
        return f"{self.lease_info.key}.{self._number}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def tell(self, share: float, text: str) -> None:
        """Set the progress, which other processes see after the next heartbeat.

        Raises:
            LeaseLost: another process has taken over the lease.
        """
        self.lease_info = replace(self.lease_info, share=share, text=text)
        if self._lost:
            raise LeaseLost

    def check_lost(self) -> bool:
        """Return whether another process has taken over the lease."""
        numbers = self._leases._numbers(self.lease_info.key)
        self._lost = max(numbers, default=0) != self._number
        return self._lost

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(Unwritable):  # the store may be unreachable only temporarily
                if not self.check_lost():
                    self._leases.blobs.write(self.name, self.lease_info.content)


def _split(name: str) -> tuple[str, int]:
    """Split a lease's file name into key and number; the number is 0 for a file that is not a lease."""
    key, _, number = name.rpartition(".")
    return key, int(number) if number.isdecimal() else 0
