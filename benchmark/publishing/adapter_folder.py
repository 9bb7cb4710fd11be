"""Export of a trained cell as a self-contained folder: card, weights, options and digests.

`petlir restore --adapter FOLDER` and `petlir.load(FOLDER)` accept this folder like the folder of a cell, since both
folders contain the cell's record.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from petlir.benchmark.cells.own_images import cell_folder, restorer
from petlir.benchmark.cells.restorer import load
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.peft_adapter import LowRankUpdate, low_rank_updates, write_peft
from petlir.benchmark.records.files import ADAPTER, RECORD, read_record
from petlir.benchmark.records.schema import Done
from petlir.benchmark.tracking.model_card import card
from petlir.benchmark.writing import write_bytes, write_json

DESCRIPTION, CARD, PEFT = "adapter.json", "README.md", "peft"
SCHEMA = "petlir-adapter/1"
FRONT_MATTER = """---
library_name: petlir
pipeline_tag: image-to-image
tags: [petlir, image-restoration, parameter-efficient, {method}]
---
"""
"""The header of the card, which the Hugging Face hub uses to list the adapter."""


def export_adapter(cell: Path, out: Path, plugins: Sequence[Path] = (), weights: Sequence[str] = ()) -> list[Path]:
    """Write a trained cell's adapter with its card, options and digests to a folder, and return the written files.

    If the trained update consists only of low-rank changes of weights, the subfolder `peft/` contains the update in the
    format of Hugging Face peft.

    Args:
        cell: the cell's folder, or a file in it.
        out: the folder to write; an earlier export in this folder is replaced.
        plugins: plugin files with which the cell was run.
        weights: the user's own pre-trained weights with which the cell was run, each `NAME=SOURCE`.

    Raises:
        PetlirError: the cell is not finished or nothing was trained, its adapter is damaged, or `out` contains
            files that do not belong to an earlier export.
    """
    check_replaceable(out)
    folder = cell_folder(cell)
    record, content = trained_cell(folder)
    updates = _updates(folder, record.cell.backbone, plugins, weights)
    written = [out / ADAPTER, out / RECORD, out / CARD]
    write_bytes(out / ADAPTER, content)
    write_bytes(out / RECORD, (folder / RECORD).read_bytes())
    about = FRONT_MATTER.format(method=record.cell.method) + "\n" + card(record).replace("CELL_FOLDER", "THIS_FOLDER")
    write_bytes(out / CARD, about.encode())
    shutil.rmtree(out / PEFT, ignore_errors=True)  # left by an earlier export
    if updates:
        written += write_peft(record.cell.backbone, updates, out / PEFT)
    digests = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in written}
    write_json(out / DESCRIPTION, _description(record) | {"files": digests})
    return [*written, out / DESCRIPTION]


def _updates(cell: Path, backbone: str, plugins: Sequence[Path], weights: Sequence[str]) -> list[LowRankUpdate]:
    own = dict(text.split("=", 1) for text in weights).get(backbone)
    adapted = restorer(cell, "cpu", plugins, weights).network
    return low_rank_updates(adapted, load(backbone, own, "cpu", plugins=plugins).module)


def check_replaceable(out: Path) -> None:
    """Raise PetlirError if `out` is a file, or a folder with files that do not belong to an earlier export."""
    if out.exists() and not out.is_dir():
        raise PetlirError(f"{out} is a file; expected a folder to export to")
    if out.is_dir() and any(out.iterdir()) and not _is_export(out):
        raise PetlirError(f"{out} holds other files; expected a new or empty folder, or an earlier export")


def _is_export(out: Path) -> bool:
    try:
        found = json.loads((out / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("schema") == SCHEMA


def trained_cell(folder: Path) -> tuple[Done, bytes]:
    """Return the record of a trained cell and its adapter file, checked against the record's digest."""
    record = read_record(folder / RECORD)
    if not isinstance(record, Done):
        raise PetlirError(f"{folder} holds a cell in state {record.state!r}; expected a finished cell")
    if record.digests.adapter is None:
        raise PetlirError(f"{folder}: {record.cell.label} trains nothing, so there is no adapter to export")
    try:
        content = (folder / ADAPTER).read_bytes()
    except OSError as error:
        raise PetlirError(f"cannot read {folder / ADAPTER}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != record.digests.adapter:
        raise PetlirError(f"{folder / ADAPTER} is not the adapter that its record names: the SHA-256 differs")
    return record, content


def _description(record: Done) -> dict[str, object]:
    cell = record.cell
    return {
        "schema": SCHEMA,
        "backbone": cell.backbone,
        "method": cell.method,
        "options": cell.options,
        "task": cell.task,
        "heads": cell.heads,
        "trainable": record.costs.trainable,
        "weights_sha256": record.digests.weights,
        "adapter_sha256": record.digests.adapter,
        "key": record.key,
    }
