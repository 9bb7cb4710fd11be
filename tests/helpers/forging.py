"""Tools to forge a submission: they change it, recompute its keys, and update its digests."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from petlir.benchmark.cell import digest
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.publishing.verify import Check, VerifiedCell, verify
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.store import Store
from petlir.benchmark.weights.sources import sha256
from tests.helpers.engine import Lab
from tests.helpers.samples import typed
from tests.helpers.version_1 import version_1

Edit = Callable[[dict[str, Any]], None]


def cell_in(folder: Path, name: str = "lora") -> Path:
    """Return the folder of the first cell whose name starts with `name`."""
    return next(path.parent for path in Store(folder).files() if path.parent.name.startswith(name))


def edit(cell: Path, change: Edit) -> None:
    """Change a record in place, in the first version of the schema, where each score can be edited by itself."""
    record = json.loads((cell / RECORD).read_text())
    record = version_1(record) if record["schema"] == "petlir-record/2" else record
    change(record)
    (cell / RECORD).write_text(json.dumps(record))


def rekey(folder: Path, cell: Path, components: Mapping[str, str | None] = {}) -> Path:
    """Recompute a record's key with these components changed (None: removed), and move it to the folder of that key."""
    plain = json.loads((cell / RECORD).read_text())
    changed = {**plain["key_components"], **components}
    plain["key_components"] = {name: value for name, value in changed.items() if value is not None}
    plain["key"] = digest(plain["key_components"])
    (cell / RECORD).write_text(json.dumps(plain))
    return move(folder, cell)


def move(folder: Path, cell: Path) -> Path:
    """Move a cell to the folder that belongs to its key."""
    one = typed(json.loads((cell / RECORD).read_text()))
    target = Store(folder).cell_folder(one.cell, one.key)
    target.parent.mkdir(parents=True, exist_ok=True)
    return cell.rename(target)


def copy(cell: Path) -> Path:
    """Copy a cell to a folder beside it."""
    return shutil.copytree(cell, cell.with_name(f"{cell.name}-copy"))


def reseal_adapter(cell: Path) -> None:
    """Write the digest of the present adapter into the record."""
    edit(cell, lambda record: record["digests"].update(adapter=sha256(cell / ADAPTER)))


def seal(folder: Path) -> None:
    """Update the manifest with the digests of the present files."""
    listed = json.loads((folder / MANIFEST).read_text())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    listed["files"] = {name: sha256(path) for name, path in files.items() if name != MANIFEST}
    (folder / MANIFEST).write_text(json.dumps(listed))


def cell_of(**fields: Any) -> Edit:
    """Return an edit that changes these fields of the cell."""
    return lambda record: record["cell"].update(fields)


def score_of(protocol: str = "rgb@tiles-48", **fields: Any) -> Edit:
    """Return an edit that changes these fields of the last score under a protocol."""

    def change(record: dict[str, Any]) -> None:
        last = [row for row in record["scores"] if row["protocol"] == protocol][-1]
        last.update(fields)

    return change


def verdicts(folder: Path, lab: Lab) -> list[VerifiedCell]:
    """Update the digests of a submission and return its verified cells; one image of each cell is restored."""
    seal(folder)
    return verify(folder, Check(lab.context(), "cpu", 1, 0, random.Random(0)))
