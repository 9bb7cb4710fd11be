"""Which learning rate each method was trained at, and how many were tried for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petlir.benchmark.tuning import COMMITTED
from petlir.reports.frame import Record

FOR = ("backbone", "label", "task", "track", "steps", "batch_size", "patch")
Chosen = tuple[object, ...]


@dataclass(frozen=True)
class Rate:
    """A learning rate; `trials` is None where the page knows of none."""

    backbone: str
    task: str
    label: str
    regime: str
    rate: float
    trials: int | None


def rates(records: Sequence[Record], store: Path, warn: Callable[[str], None]) -> list[Rate]:
    """The rates of all trained cells.

    Args:
        records: the records.
        store: holds the trials of `petlir tune`; those that the project ships are read too.
        warn: gets one line on each file of trials that cannot be read.
    """
    tried: dict[Chosen, int] = {}
    for cell, trials in _trials(store, warn):
        chosen = tuple(cell.get(name) for name in FOR)
        tried[chosen] = max(trials, tried.get(chosen, 0))
    found = {
        Rate(cell["backbone"], cell["task"], cell["label"], cell["regime"], cell["learning_rate"], _tried(cell, tried))
        for cell in (record["cell"] for record in records)
        if cell["learning_rate"] is not None
    }
    return sorted(found, key=lambda rate: (rate.backbone, rate.task, rate.label, rate.regime, rate.rate))


def _tried(cell: dict[str, Any], tried: dict[Chosen, int]) -> int | None:
    return tried.get(tuple(cell[name] for name in FOR)) if cell["regime"] == "tuned" else None


def _trials(store: Path, warn: Callable[[str], None]) -> Iterator[tuple[dict[str, Any], int]]:
    """What was tuned, and the number of its trials."""
    for folder in sorted((store / "tuning").glob("*/")):
        files = sorted(folder.glob("*.json"))
        for plain in _read(files[:1], warn):
            yield plain["cell"], len(files)
    for plain in _read(sorted(COMMITTED.glob("*/*.json")), warn):
        for selection in plain["selections"]:
            yield selection["cell"], len(selection["trials"])


def _read(files: Sequence[Path], warn: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    for path in files:
        try:
            yield json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            warn(f"{path} holds no trials that can be read: {error}")
