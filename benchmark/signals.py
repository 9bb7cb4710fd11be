"""SIGTERM asks a process to stop, from a user, a parent or a scheduler: heeded where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


def leave(number: int, frame: FrameType | None = None) -> None:
    """Unwind the stack, so that claims are given back and workers stopped; a handler."""
    raise SystemExit(128 + number)


@dataclass
class Deferred:
    """What was asked for meanwhile.

    Attributes:
        numbers: the signals that have come.
    """

    numbers: list[int] = field(default_factory=list)

    def heed(self) -> None:
        """Leave now, where that was asked for."""
        if self.numbers:
            leave(self.numbers[0])


@contextmanager
def deferred() -> Iterator[Deferred]:
    """Note SIGTERM instead of stopping; one that was not heeded inside is heeded at the end.

    Only the main thread is sent signals; in another one this does nothing.
    """
    found = Deferred()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: found.numbers.append(number))
    try:
        yield found
    finally:
        signal.signal(signal.SIGTERM, before)
    found.heed()


@contextmanager
def terminated_as_exit() -> Iterator[None]:
    """SIGTERM unwinds the stack as Ctrl-C does, so that workers are stopped; only the main thread sets that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
