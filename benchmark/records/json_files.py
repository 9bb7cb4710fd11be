"""Reading of JSON files that may be damaged or come from an untrusted source."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

LARGEST = 64 * 2**20
"""The maximum size of a file in bytes; a record of 10,000 images is a tenth as large."""


def parsed(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: the text is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_bytes(path: Path) -> bytes:
    """Return the content of a file of at most `LARGEST` bytes.

    Raises:
        ValueError: the file is larger than `LARGEST`, or not a regular file.
        OSError: the file cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > LARGEST:
        raise ValueError(f"it is {status.st_size / 2**20:.0f} MiB; expected at most {LARGEST / 2**20:.0f} MiB")
    with path.open("rb", buffering=0) as file:
        return file.readall()


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        ValueError: the file is not JSON in UTF-8, nested too deeply, too large, or not a regular file.
        OSError: the file cannot be read.
    """
    return parsed(read_bytes(path))
