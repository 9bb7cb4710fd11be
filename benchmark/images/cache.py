"""The user's cache: what takes time to draw, fetch or compute, and can be had again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Where it lies: PETLIR_CACHE, else petlir in the user's cache folder."""
    own = os.environ.get("PETLIR_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "petlir"


def store_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, and the folders that it needs."""
    store_bytes(path, text.encode())


def store_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
