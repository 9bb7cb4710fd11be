"""Printing of text that may come from records and file names, in any encoding."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys instead of displaying, e.g. changes of text direction, except tab and line feed."""


def printable(text: str) -> str:
    r"""Return the text with its control characters escaped as in JSON, e.g. `\u001b`; tabs and line feeds are kept."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    r"""Return the text as `printable` does, with line feeds escaped too."""
    return printable(text).replace("\n", "\\n")


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text with its control characters escaped.

    Args:
        text: the text.
        err: print to standard error.
        nl: end with a line feed.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(str(text)) + "\n" * nl)
    stream.flush()


def prepare_streams() -> None:
    """Make standard output and error escape unencodable characters instead of raising UnicodeEncodeError.

    If a stream is closed, as by `>&-` in a shell, what is written to it is discarded.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Discard the text that standard output still holds, because it cannot be written, e.g. to a full disk."""
    with suppress(io.UnsupportedOperation):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
