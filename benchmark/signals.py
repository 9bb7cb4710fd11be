"""Time limits, and the handling of SIGTERM, which can be deferred so that no work is lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FrameType

from petlir.benchmark.errors import Interruption, Terminated

RETRY = 0.02
"""Seconds after which an expired time limit is tested again, until its `with` block ends."""


def leave(number: int, frame: FrameType | None = None) -> None:
    """Handle a signal by unwinding the stack, so that leases are released and workers are stopped."""
    raise Terminated(128 + number)


@dataclass
class Deferred:
    """The signals received inside a `deferred` block.

    Attributes:
        numbers: numbers of the received signals.
    """

    numbers: list[int] = field(default_factory=list)

    def heed(self) -> None:
        """Exit now if the block has received a signal."""
        if self.numbers:
            leave(self.numbers[0])


@contextmanager
def _handled(number: signal.Signals, handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle a signal inside the `with` block; only effective in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def deferred() -> Iterator[Deferred]:
    """Defer SIGTERM: inside the `with` block, the signal is only recorded; the process exits when the block ends.

    Signals are delivered only to the main thread; in another thread, `deferred` has no effect.
    """
    found = Deferred()
    with _handled(signal.SIGTERM, lambda number, _: found.numbers.append(number)):
        yield found
    found.heed()


class TimeUp(Interruption):
    """The expiry of a time limit, raised inside the code that is running when the time has elapsed."""


def _importing(frame: FrameType | None, caller: FrameType) -> bool:
    """Return whether `frame` belongs to an import inside `caller`; an interruption would leave the import half done."""
    while frame is not None and frame is not caller:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _handles(error: BaseException) -> bool:
    """Return whether the running code cleans up after `error`; a second exception would interrupt it."""
    handled = sys.exception()
    while handled is not None and handled is not error:
        handled = handled.__context__
    return handled is not None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` inside the `with` block after `seconds` seconds; only effective in the main thread.

    If a module is being imported at that moment, the exception is raised after the import. Python discards exceptions
    raised in finalisers and callbacks of the garbage collector; a discarded `TimeUp` is raised again.
    """
    caller = sys._getframe(2)  # of the `with` block, below `contextlib`
    inside, up = True, TimeUp()

    def end(number: int, frame: FrameType | None) -> None:
        if inside:
            signal.setitimer(signal.ITIMER_REAL, RETRY)
            if not _importing(frame, caller) and not _handles(up):
                raise up

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        try:
            yield
        finally:
            inside = False
    finally:  # also if the time is up between the end of the block and the line above
        inside = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Interrupted(Interruption, KeyboardInterrupt):
    """An interruption by Ctrl-C, as opposed to a KeyboardInterrupt that a plugin raises."""


@contextmanager
def interrupted_by_user() -> Iterator[None]:
    """Let Ctrl-C raise `Interrupted` inside the `with` block; only effective in the main thread."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with _handled(signal.SIGINT, end) if usual else nullcontext():
        yield


@contextmanager
def terminated_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that workers are stopped; only effective in the main thread."""
    with _handled(signal.SIGTERM, leave):
        yield
