"""Atomic file writing: a killed process or a full disk leaves the old or the new file, never a partial file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from petlir.benchmark.errors import PetlirError, Unwritable


def write_json(path: Path, data: object) -> None:
    """Write `data` as JSON atomically, and flush it to disk.

    Raises:
        PetlirError: `data` contains a number that is not finite.
        Unwritable: the file cannot be written.
    """
    try:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise PetlirError(f"cannot write {path}: the data contain a number that is not finite ({error})") from error
    write_bytes(path, f"{text}\n".encode(), flush=True)


def write_bytes(path: Path, content: bytes, *, flush: bool = False) -> None:
    """Write a file atomically: if the process is killed or the disk is full, `path` holds the old or the new content.

    Args:
        path: the file; its folder is created if missing.
        content: the whole content of the file.
        flush: wait until the content is on disk.

    Raises:
        Unwritable: the file cannot be written.
    """
    try:
        _replace(path, content, flush)
    except OSError as error:
        raise Unwritable(f"cannot write {path}: {error.strerror}; any previous file is unchanged") from error


def copy_folder(source: Path, target: Path, without: Sequence[str] = ()) -> None:
    """Copy a folder with all its files; if this fails, no incomplete copy is left.

    Args:
        source: the folder to copy.
        target: the copy, which must not exist yet.
        without: patterns of file names that are not copied.

    Raises:
        Unwritable: a file cannot be read or written.
    """
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*without))
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise Unwritable(f"cannot copy {source} to {target}: {reason}") from error


def _replace(path: Path, content: bytes, flush: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".petlir-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
