"""Check the import layers of `benchmark/` and `reports/`, and the words used in names.

Run `python tests/helpers/structure.py`. It only parses source files, so `nox -s lint` needs no installation of petlir.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "terminal"),
    ("signals", "devices", "writing", "hub", "revisions", "containment"),
    ("protocol", "track", "paper", "metric", "degradation", "task", "cell", "backbone", "method", "grid"),
    ("layers", "images", "degradations", "scoring", "restoration", "training", "backbones", "costs", "statistics"),
    ("weights", "records", "store", "plugins", "plugin_modules", "tracking"),
    ("cells",),
    ("runs", "executors"),
    ("publishing", "analysis", "contract", "pretraining", "published"),
    ("reports",),
    ("commands", "api", "cli"),
)
"""Layers of `benchmark/` and `reports/`, lowest first; a package or module imports from its own layer and below."""
MODULES = 25
"""The maximum number of top-level modules in `benchmark/`."""
AVOIDED: Mapping[str, str] = {
    "settle": "dispatch", "settled": "finished", "settling": "dispatch", "subject": "adapted model", "bench": "context",
    "payload": "job", "ground": "selection context", "ingredients": "key components", "doors": "hooks",
    "evidence": "prior results", "lens": "extra protocols", "shelf": "blob store",
    "overtaken": "lease lost", "holding": "lease info", "looks": "validation points",
}  # fmt: skip
"""Words to avoid in the names of modules, classes, functions and parameters → the field's term."""


def faults(root: Path = ROOT) -> list[str]:
    """Return a line for each upward import, cycle within a layer and avoided word, and for too many top modules."""
    return [*_arrows(root), *_words(root), *_top(root)]


def imports(root: Path = ROOT) -> Mapping[tuple[str, str], list[str]]:
    """Return (importing, imported) → the locations of these imports, including imports inside functions."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in _sources(root):
        room = _room(path.relative_to(root))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _modules(node):
                if (other := _room_of_module(name)) not in (room, None):
                    found[room, str(other)].append(f"{path.relative_to(root)}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def _sources(root: Path) -> Iterator[Path]:
    for top in ("benchmark", "reports"):
        yield from sorted((root / top).rglob("*.py"))


def _room(path: Path) -> str:
    return "reports" if path.parts[0] == "reports" else path.parts[1].removesuffix(".py")


def _modules(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module in ("petlir", "petlir.benchmark"):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module


def _room_of_module(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "petlir" or len(parts) < 2:
        return None
    return parts[2] if parts[1] == "benchmark" and len(parts) > 2 else parts[1] if parts[1] == "reports" else None


def _arrows(root: Path) -> Iterator[str]:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    arrows = imports(root)
    for (room, other), places in sorted(arrows.items()):
        for name in (room, other):
            if name not in floor and name != "__init__":
                yield f"{name} stands on no floor; add it to FLOORS ({places[0]})"
        if floor.get(other, 0) > floor.get(room, 0) and room != "__init__":
            yield f"{room} imports {other}, which stands above it: {', '.join(places[:3])}"
        elif room < other and floor.get(other) == floor.get(room) and (other, room) in arrows:
            yield f"{room} and {other} import each other: {places[0]}, {arrows[other, room][0]}"


def _words(root: Path) -> Iterator[str]:
    for path in _sources(root):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, line in [(path.stem, 1), *_names(tree)]:
            words = re.findall(r"[A-Z]?[a-z]+", name)
            for word in words:
                if (better := AVOIDED.get(word.lower())) is not None:
                    where = f"{path.relative_to(root)}:{line}"
                    yield f"{where}: {name} holds {word.lower()!r}; expected a name with {better!r}"


def _names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, node.lineno
        if isinstance(node, ast.arg):
            yield node.arg, node.lineno


def _top(root: Path) -> Iterator[str]:
    modules = [path for path in (root / "benchmark").glob("*.py") if path.name != "__init__.py"]
    if len(modules) > MODULES:
        yield f"benchmark/ has {len(modules)} modules at its top; expected at most {MODULES}"


if __name__ == "__main__":
    lines = faults()
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.exit(bool(lines))
