"""Containment of plugin code, which may raise any exception and print without limit."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import NoReturn, TextIO

from petlir.benchmark.errors import Interruption, PetlirError, told

LIMIT = 64 * 1024
"""The maximum number of characters that contained code may print."""


class PluginExit(PetlirError):
    """An exception, such as SystemExit, that a plugin raised and that would otherwise end the program."""


class CappedOutput(io.TextIOBase):
    """A text stream that forwards the first `LIMIT` characters, then reports that further output is discarded."""

    def __init__(self, target: TextIO) -> None:
        self._target, self._left = target, LIMIT

    @property
    def full(self) -> bool:
        """True if output was discarded."""
        return self._left < 0

    def write(self, text: str) -> int:
        """Forward as much of the text as `LIMIT` allows."""
        if self._left >= 0:
            self._target.write(text[: self._left])
            self._left -= len(text)
            if self._left < 0:
                self._target.write(f"\npetlir: more than {LIMIT} characters were printed; the rest is discarded\n")
        return len(text)

    def flush(self) -> None:
        """Flush the target stream."""
        self._target.flush()

    def fileno(self) -> int:
        """Return the file descriptor of the target stream."""
        return self._target.fileno()


@contextmanager
def without_exit() -> Iterator[None]:
    """Make `os._exit`, which ends a process immediately, raise SystemExit inside the block.

    In a process forked inside the block, `os._exit` still ends that process: raising an exception instead would let the
    child go on to run the parent's code.
    """
    owner, end = os.getpid(), os._exit
    modules = (os, sys.modules[os.name])  # the functions of `os` come from `posix` or `nt`

    def refuse(code: int) -> NoReturn:
        if os.getpid() != owner:
            end(code)
        raise SystemExit(f"os._exit({code})")

    try:
        for module in modules:
            setattr(module, "_exit", refuse)  # noqa: B010
        yield
    finally:
        for module in modules:
            setattr(module, "_exit", end)  # noqa: B010


@contextmanager
def contained() -> Iterator[None]:
    """Contain plugin code: limit its output, send the output to standard error, and keep it from ending the program.

    Ordinary exceptions, and exceptions that a signal raises to end the program, are passed on.

    Raises:
        PluginExit: the code raised SystemExit or another exception that is not an `Exception`.
    """
    output = CappedOutput(sys.stderr)
    try:
        with redirect_stdout(output), redirect_stderr(output), without_exit():
            yield
    except (Exception, KeyboardInterrupt, GeneratorExit, Interruption):
        raise
    except BaseException as error:
        raise PluginExit(f"raised {told(error)}") from error
