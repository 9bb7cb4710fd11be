"""Claims: who works on a cell of a store, and whether that process still lives.

A claim is a small numbered file, `<key>.<number>`, that can be made only once. Who makes the next number holds the key;
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
from petlir.benchmark.store.process import Process
from petlir.benchmark.store.shelf import Shelf

BEAT = 10.0
"""Seconds between two signs of life."""
DEAD = 60.0
"""Seconds without a sign of life after which a holder on another machine counts as dead."""


class Overtaken(Exception):
    """This process was silent for so long that another one took over its cell."""


@dataclass(frozen=True)
class Holding:
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


def _parse(content: bytes) -> Holding | None:
    try:
        plain = json.loads(content)
        return Holding(**{**plain, "process": Process(**plain["process"])})
    except (ValueError, TypeError, KeyError):
        return None  # caught while it was being written


@dataclass(frozen=True)
class Claims:
    """The claims of a store."""

    shelf: Shelf

    @contextmanager
    def hold(self, key: str, title: str) -> Iterator[Claim | None]:
        """Hold a key for the block; None where it is held already.

        Raises:
            Unwritable: the store is out of reach.
        """
        claim = self._take(key, title)
        if claim is None:
            yield None
            return
        try:
            with claim:
                yield claim
        finally:
            with suppress(Unwritable):  # a claim that cannot be given back is free once this process has ended
                self._give_back(claim)

    def free(self, key: str) -> bool:
        """Whether nobody works on it."""
        numbers = self._numbers(key)
        return not numbers or self._abandoned(key, *max(numbers.items()))

    def standing(self) -> list[Holding]:
        """Return what is worked on, and what a dead process was working on; writes nothing.

        The shelf's own clock is read by writing, so holders on other machines are judged by this machine's clock here.
        Nothing is taken over on that ground.
        """
        written, now = self.shelf.written(), time.time()
        newest: dict[str, int] = {}
        for name in written:
            key, number = _split(name)
            newest[key] = max(number, newest.get(key, 0))
        found = []
        for key, number in sorted(newest.items()):
            name = f"{key}.{number}"
            holding = _parse(self.shelf.read(name) or b"")
            if holding is None or holding.released:
                continue
            alive = holding.process.alive
            found.append(replace(holding, alive=now - written[name] < DEAD if alive is None else alive))
        return found

    def _take(self, key: str, title: str) -> Claim | None:
        numbers = self._numbers(key)
        last = max(numbers, default=0)
        if last and not self._abandoned(key, last, numbers[last]):
            return None
        holding = Holding(key, title, Process.this(), datetime.now(UTC).isoformat(timespec="seconds"))
        claim = Claim(self, holding, last + 1)
        if not self.shelf.create(claim.name, holding.content):
            return None
        if claim.overtaken():  # what was read above was old news
            self.shelf.remove(claim.name)
            return None
        for number in numbers:
            if number < last:  # the last one stays: who still holds it for the newest fails to make this one
                self.shelf.remove(f"{key}.{number}")
        return claim

    def _give_back(self, claim: Claim) -> None:
        """Remove the claims of what is done, since its record tells; else say that it may be taken."""
        if claim.done:
            for number in self._numbers(claim.holding.key):
                self.shelf.remove(f"{claim.holding.key}.{number}")
        elif not claim.overtaken():
            try:
                self.shelf.write(claim.name, replace(claim.holding, released=True).content)
            except Unwritable:  # to remove a file takes no room on a full disk
                self.shelf.remove(claim.name)

    def _abandoned(self, key: str, number: int, written: float) -> bool:
        content = self.shelf.read(f"{key}.{number}")
        if content is None:
            return False
        holding = _parse(content)
        if holding is not None and holding.released:
            return True
        alive = holding.process.alive if holding else None
        return self.shelf.now() - written > DEAD if alive is None else not alive

    def _numbers(self, key: str) -> dict[int, float]:
        split = ((*_split(name), when) for name, when in self.shelf.written().items())
        return {number: when for name, number, when in split if name == key and number}


class Claim:
    """A key that this process holds; inside `with claim:` it gives signs of life.

    Attributes:
        done: set once the work has its result; the claim is then not given back, but dropped.
    """

    def __init__(self, claims: Claims, holding: Holding, number: int) -> None:
        self.holding, self.done = holding, False
        self._claims, self._number = claims, number
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="signs of life", daemon=True)

    @property
    def name(self) -> str:
        """The claim's file."""
        return f"{self.holding.key}.{self._number}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def tell(self, share: float, text: str) -> None:
        """Note how far the work is; others see it with the next sign of life.

        Raises:
            Overtaken: another process has taken over.
        """
        self.holding = replace(self.holding, share=share, text=text)
        if self._lost:
            raise Overtaken

    def overtaken(self) -> bool:
        """Whether another process has taken over."""
        numbers = self._claims._numbers(self.holding.key)
        self._lost = max(numbers, default=0) != self._number
        return self._lost

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(Unwritable):  # the store may be out of reach for a moment only
                if not self.overtaken():
                    self._claims.shelf.write(self.name, self.holding.content)


def _split(name: str) -> tuple[str, int]:
    """Key and number; number 0 for a file that is no claim."""
    key, _, number = name.rpartition(".")
    return key, int(number) if number.isdecimal() else 0
