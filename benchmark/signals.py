"""Signals that ask a process to stop: heeded where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGUSR2)
"""SIGTERM from a user, a parent or a scheduler; SIGUSR2 is what a scheduler sends ahead of a time limit."""


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
    """Note signals to stop instead of stopping; one that was not heeded inside is heeded at the end.

    Only the main thread is sent signals; in another one this does nothing.
    """
    found = Deferred()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in STOPS}
    for number in STOPS:
        signal.signal(number, lambda number, _: found.numbers.append(number))
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    found.heed()
