"""The source files that a plugin depends on; their revisions are part of the plugin's identity."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path

SHARED = (
    "petlir.methods", "petlir.tasks", "petlir.benchmark.analysis", "petlir.benchmark.backbones",
    "petlir.benchmark.degradations",
    "petlir.benchmark.layers",
)  # fmt: skip
"""The packages whose files count as part of a plugin; other modules of the engine have revisions of their own."""


def built_on(path: Path) -> set[Path]:
    """Return the file of an imported plugin and the files that it imports, directly or indirectly.

    Only files from the packages in `SHARED`, or from the plugin's own folder, are part of a plugin.
    """
    found: set[Path] = set()
    left = {path}
    while left:
        found |= left
        left = {other for file in left for other in _imported(file, file.stat().st_mtime_ns)} - found
    return found


@lru_cache(maxsize=256)
def _imported(path: Path, changed: int) -> frozenset[Path]:
    """Return the files that `path` imports directly; the result is cached until `path` changes."""
    named = ((name, getattr(sys.modules.get(name), "__file__", None)) for name in _names(path))
    files = {name: Path(file) for name, file in named if file is not None}
    beside = {
        file for name, file in files.items() if path.parent in file.parents and not _within(name, ["petlir.benchmark"])
    }
    return frozenset(beside | {file for name, file in files.items() if _within(name, SHARED)})


def _within(name: str, roots: Sequence[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def _names(path: Path) -> Iterator[str]:
    """Yield the name of every module imported anywhere in the file; some names may denote attributes of a module."""
    own = (module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == str(path))
    package = next((module.__package__ for module in own), None)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
