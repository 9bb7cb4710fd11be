"""The user's cache of files that can be recreated or downloaded again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: the folder named by PETLIR_CACHE, or `petlir` in the user's cache folder."""
    own = os.environ.get("PETLIR_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "petlir"


def store_text(path: Path, text: str) -> None:
    """Write a text and its SHA-256 atomically; the folder is created if missing."""
    content = text.encode()
    store_bytes(path, f"{hashlib.sha256(content).hexdigest()}\n".encode() + content)


def stored_text(path: Path) -> bytes:
    """Return the text that `store_text` wrote.

    Raises:
        ValueError: the file is damaged.
        OSError: the file cannot be read.
    """
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError(f"{path} is damaged")
    return content


def store_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; its folder is created if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
