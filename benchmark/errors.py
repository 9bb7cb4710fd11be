"""Errors that a user can cause; messages have one line and suggest the nearest valid name for an unknown name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from petlir.benchmark.terminal import one_line

T = TypeVar("T")

FAULTS = (Exception,)
"""Exceptions that third-party code, such as a plugin or a metric, may raise; only the affected cell or column fails."""


LONGEST = 4000
"""The maximum number of characters of a message; the names of all methods and tasks fit."""


class PetlirError(Exception):
    """An error that the user can fix; its one-line message states what is wrong, where, and what was expected."""

    def __str__(self) -> str:
        """Return the message cut to `LONGEST` characters and with control characters escaped.

        The message may quote a file's name or content.
        """
        text = super().__str__()
        return one_line(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


class Unwritable(PetlirError):
    """An error caused by a full disk or an unwritable folder, which would make every other cell fail as well."""


class Interruption(BaseException):
    """An interruption from outside, e.g. by a signal or a lost lease, as opposed to an error in the running code."""


class Terminated(Interruption, SystemExit):
    """The exception that ends the program after a signal."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> PetlirError:
    """Return the error for an unknown name; it suggests the nearest valid name, or lists all valid names."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names) or 'none'}"
    return PetlirError(f"unknown {kind} {name!r}; {hint}")


def resolved(path: Path, *, home: bool = False) -> Path:
    """Return a user's path as an absolute path without symbolic links and, if `home` is set, without a leading `~`.

    Raises:
        PetlirError: symbolic links form a loop, or `~NAME` names an unknown user.
    """
    try:
        return (path.expanduser() if home else path).resolve()
    except RuntimeError as error:
        raise PetlirError(f"path {path} is not valid: {error}") from error


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1.

    >>> counted(1, "trial"), counted(3, "trial")
    ('1 trial', '3 trials')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


MAPS = re.compile(
    r"expected input\[.*\] to have \d+ channels|Expected 3D \(unbatched\) or 4D \(batched\) input to conv"
    r"|expected 4D input \(got \dD|not enough values to unpack \(expected 4, got 3\)"
)
"""A pattern for the errors of PyTorch and Python in a module that expects feature maps but receives other input."""


def told(error: BaseException) -> str:
    """Return the type and first line of an error, with a hint if a convolution received tokens."""
    try:
        lines = str(error).strip().splitlines()
    except FAULTS:  # an exception class of a plugin may be faulty itself
        lines = []
    line = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    hint = "; a convolution needs N×C×H×W maps; for tokens, wrap the convolution in OnMap(module, block.layout)"
    return line + hint if MAPS.search(line) else line


def chosen(kind: str, names: Iterable[str], valid: Mapping[str, T]) -> dict[str, T]:
    """Return the named entries of `valid` in the order of `names`; raise on an unknown name."""
    picked = {}
    for name in names:
        if name not in valid:
            raise unknown(kind, name, valid)
        picked[name] = valid[name]
    return picked
