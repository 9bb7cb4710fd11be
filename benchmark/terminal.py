"""Printing of text that may come from records and file names, in any encoding."""

from __future__ import annotations

import io
import re
import sys

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys instead of displaying, e.g. changes of text direction, except tab and line feed."""


def printable(text: str) -> str:
    r"""Return the text with its control characters escaped as in JSON, e.g. `\u001b`; tabs and line feeds are kept."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    r"""Return the text as `printable` does, with line feeds escaped too."""
    return printable(text).replace("\n", "\\n")


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text with its control characters escaped.

    Args:
        text: the text.
        err: print to standard error.
        nl: end with a line feed.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(str(text)) + "\n" * nl)
    stream.flush()


def degrade_characters() -> None:
    """Make standard output and error escape unencodable characters instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
