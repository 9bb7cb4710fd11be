"""Leases: who works on a cell of a store, and whether that process still lives.

A lease is a small numbered file, `<key>.<number>`, that can be made only once. Who makes the next number holds the key;
it writes the file again every few seconds. When it stops, killed or cut off, the next number may be made: no lock is
held for ever, and no clock but the store's own is asked.
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

from petlir.benchmark.errors import Unwritable
from petlir.benchmark.store.blob_store import BlobStore
from petlir.benchmark.store.process import Process

BEAT = 10.0
"""Seconds between two signs of life."""
DEAD = 60.0
"""Seconds without a sign of life after which a holder on another machine counts as dead."""

ELSEWHERE = "elsewhere"
"""The state of a job that another runner works on."""


class LeaseLost(Exception):
    """This process was silent for so long that another one took over its cell."""


@dataclass(frozen=True)
class LeaseInfo:
    """What a claim says of itself.

    Attributes:
        key: what is claimed.
        title: the same in words.
        process: who holds it.
        since: when it was taken, ISO.
        share: how much is done, in [0, 1].
        text: a few words on how it goes.
        released: whether it was given back without a result.
        alive: whether its holder still works on it.
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
        """The claim's file."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "alive"}).encode()


def _parse(content: bytes) -> LeaseInfo | None:
    try:
        plain = json.loads(content)
        return LeaseInfo(**{**plain, "process": Process(**plain["process"])})
    except (ValueError, TypeError, KeyError):
        return None  # caught while it was being written


@dataclass(frozen=True)
class Leases:
    """The claims of a store."""

    blobs: BlobStore

    @contextmanager
    def hold(self, key: str, title: str) -> Iterator[Lease | None]:
        """Hold a key for the block; None where it is held already.

        Raises:
            Unwritable: the store is out of reach.
        """
        lease = self._take(key, title)
        if lease is None:
            yield None
            return
        try:
            with lease:
                yield lease
        finally:
            with suppress(Unwritable):  # a claim that cannot be given back is free once this process has ended
                self._give_back(lease)

    def free(self, key: str) -> bool:
        """Whether nobody works on it."""
        numbers = self._numbers(key)
        return not numbers or self._abandoned(key, *max(numbers.items()))

    def standing(self) -> list[LeaseInfo]:
        """Return what is worked on, and what a dead process was working on; writes nothing.

        The store's own clock is read by writing, so holders on other machines are judged by this machine's clock here.
        Nothing is taken over on that ground.
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
        if lease.ensure_held():  # what was read above was old news
            self.blobs.remove(lease.name)
            return None
        for number in numbers:
            if number < last:  # the last one stays: who still holds it for the newest fails to make this one
                self.blobs.remove(f"{key}.{number}")
        return lease

    def _give_back(self, lease: Lease) -> None:
        """Remove the claims of what is done, since its record tells; else say that it may be taken."""
        if lease.done:
            for number in self._numbers(lease.lease_info.key):
                self.blobs.remove(f"{lease.lease_info.key}.{number}")
        elif not lease.ensure_held():
            try:
                self.blobs.write(lease.name, replace(lease.lease_info, released=True).content)
            except Unwritable:  # to remove a file takes no room on a full disk
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
    """A key that this process holds; inside `with claim:` it gives signs of life.

    Attributes:
        done: set once the work has its result; the claim is then not given back, but dropped.
    """

    def __init__(self, leases: Leases, lease_info: LeaseInfo, number: int) -> None:
        self.lease_info, self.done = lease_info, False
        self._leases, self._number = leases, number
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="signs of life", daemon=True)

    @property
    def name(self) -> str:
        """The claim's file."""
        return f"{self.lease_info.key}.{self._number}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def tell(self, share: float, text: str) -> None:
        """Note how far the work is; others see it with the next sign of life.

        Raises:
            LeaseLost: another process has taken over.
        """
        self.lease_info = replace(self.lease_info, share=share, text=text)
        if self._lost:
            raise LeaseLost

    def ensure_held(self) -> bool:
        """Whether another process has taken over."""
        numbers = self._leases._numbers(self.lease_info.key)
        self._lost = max(numbers, default=0) != self._number
        return self._lost

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(Unwritable):  # the store may be out of reach for a moment only
                if not self.ensure_held():
                    self._leases.blobs.write(self.name, self.lease_info.content)


def _split(name: str) -> tuple[str, int]:
    """Key and number; number 0 for a file that is no claim."""
    key, _, number = name.rpartition(".")
    return key, int(number) if number.isdecimal() else 0
