"""Grids in files: the named grids in `results/grids`, and grids that users write in TOML or JSON."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.writing import write_bytes

GRIDS = Path(__file__).parents[3] / "results" / "grids"
SELECTION = {"backbones": str, "methods": str, "tasks": str, "seeds": str, "steps": int}
SHARED = {"track": str, "regime": str, "protocols": str, "metrics": str}
"""The keys of a grid file and the types of their values; each table of `also` may set the keys in `SELECTION` again."""
REQUIRED = ("backbones", "methods", "tasks")
PAGE, ALSO = "page", "also"
"""The key of a grid file that describes the grid's page in the report, and the key of the additional selections."""
DEFAULT_TRACK = "demo"


def named(name: str) -> Path:
    """Return the file of a named grid; the error for an unknown name suggests the most similar name."""
    path = GRIDS / f"{name}.json"
    if not path.is_file():
        raise unknown("grid", name, [file.stem for file in GRIDS.glob("*.json")])
    return path


def read_grid(path: Path) -> dict[str, object]:
    """Return the fields of a grid file; lists of names or seeds become comma-separated text.

    Raises:
        PetlirError: the file cannot be read, or a key or a value is invalid.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise PetlirError(f"cannot read the grid {path}: {error.strerror}") from error
    except ValueError as error:
        form = "JSON" if path.suffix == ".json" else "TOML"
        raise PetlirError(f"grid {path} is not {form}: {error}") from error
    if not isinstance(found, dict):
        raise PetlirError(f"grid {path} is not an object; expected an object with the keys {', '.join(REQUIRED)}")
    found.pop(PAGE, None)
    also: object = found.pop(ALSO, [])
    if not isinstance(also, list) or not all(isinstance(one, dict) for one in also):
        raise PetlirError(f"grid {path}: {ALSO} is not a list of selections")
    read = _checked(found, SELECTION | SHARED, path)
    if missing := [key for key in REQUIRED if key not in read]:
        raise PetlirError(f"grid {path} lacks {', '.join(missing)}")
    return {"track": DEFAULT_TRACK, **read} | ({ALSO: [_checked(one, SELECTION, path) for one in also]} if also else {})


def _checked(table: Mapping[str, object], types: Mapping[str, type], path: Path) -> dict[str, object]:
    read: dict[str, object] = {}
    for key, value in table.items():
        if key not in types:
            raise PetlirError(f"grid {path}: {unknown('key', key, types)}")
        text = ",".join(map(str, value)) if isinstance(value, list) and types[key] is str else value
        text = str(text) if key == "seeds" and isinstance(text, int) and not isinstance(text, bool) else text
        if not isinstance(text, types[key]) or isinstance(text, bool):
            raise PetlirError(f"grid {path}: {key} is {value!r}; expected {_expected(types[key])}")
        read[key] = text
    return read


def _expected(kind: type) -> str:
    return "a whole number" if kind is int else 'comma-separated text, e.g. "a,b"'


def write_grid(path: Path, selections: Sequence[Mapping[str, object]], shared: Mapping[str, object]) -> None:
    """Write a grid as TOML: the first selection with the shared fields, then the other selections.

    Raises:
        PetlirError: the file exists with other content, or cannot be written.
    """
    lines = _lines({**selections[0], **shared})
    for one in selections[1:]:
        lines += ["", f"[[{ALSO}]]", *_lines(one)]
    content = "\n".join([*lines, ""]).encode()
    if path.exists() and path.read_bytes() != content:
        raise PetlirError(f"{path} already exists with different content; choose another name or remove the file")
    write_bytes(path, content)


def _lines(values: Mapping[str, object]) -> list[str]:
    """Return a TOML line `key = value` for each value that is set; numbers and strings are written as in JSON."""
    return [
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value not in (None, "")
    ]
