"""Learning rates of trained methods: the selected rates, the rates tried, and the convergence test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar

from petlir.benchmark.cells.selection import COMMITTED
from petlir.benchmark.records.json_files import read_json
from petlir.benchmark.records.schema import Record
from petlir.benchmark.records.stored_forms import StoredSelection, TunedCell
from petlir.benchmark.statistics.convergence import Convergence, convergence

FOR = ("backbone", "label", "task", "track", "steps", "batch_size", "patch")
Chosen = tuple[object, ...]
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class Rate:
    """The learning rate of one method on one task and backbone.

    Attributes:
        trials: the learning rates tried; empty if unknown.
        convergence: the result of the doubling test on validation images, in dB; None if the test was not run.
    """

    backbone: str
    task: str
    label: str
    regime: str
    rate: float
    trials: tuple[float, ...]
    convergence: Convergence | None


def rates(records: Sequence[Record], store: Path, warn: Callable[[str], None]) -> list[Rate]:
    """Return the learning rates of all trained cells.

    Args:
        records: the records.
        store: the store with the trials of `petlir tune`; the trials committed to the project are read as well.
        warn: receives a line for each trial file that cannot be read.
    """
    tried: dict[Chosen, tuple[float, ...]] = {}
    for cell, trials in _trials(store, warn).values():
        chosen = tuple(cell.get(name) for name in FOR)
        tried[chosen] = max(tuple(sorted(trials)), tried.get(chosen, ()), key=len)
    found = {_rate(record, rate, tried) for record in records if (rate := record.cell.learning_rate) is not None}
    return sorted(found, key=lambda rate: (rate.backbone, rate.task, rate.label, rate.regime, rate.rate))


def _rate(record: Record, rate: float, tried: Mapping[Chosen, tuple[float, ...]]) -> Rate:
    cell = record.cell
    trials = tried.get(tuple(getattr(cell, name) for name in FOR), ()) if cell.regime == "tuned" else ()
    return Rate(cell.backbone, cell.task, cell.label, cell.regime, rate, trials, convergence(record.convergence))


class _TrialFile(TypedDict):
    cell: TunedCell
    rate: float


class _CommittedFile(TypedDict):
    selections: list[StoredSelection]


def _trials(store: Path, warn: Callable[[str], None]) -> dict[str, tuple[TunedCell, set[float]]]:
    """Return, by key, each selection's cell and tried rates, from the store and the trials committed to the project."""
    found: dict[str, tuple[TunedCell, set[float]]] = {}
    for folder in sorted((store / "tuning").glob("*/")):
        trials: Iterator[_TrialFile] = _read(sorted(folder.glob("*.json")), warn)
        for trial in trials:
            found.setdefault(folder.name, (trial["cell"], set()))[1].add(trial["rate"])
    committed: Iterator[_CommittedFile] = _read(sorted(COMMITTED.glob("*/*.json")), warn)
    for file in committed:
        for selection in file["selections"]:
            rates = {trial["rate"] for trial in selection["trials"]}
            found.setdefault(selection["key"], (selection["cell"], set()))[1].update(rates)
    return found


def _read(files: Sequence[Path], warn: Callable[[str], None]) -> Iterator[Stored]:
    for path in files:
        try:
            yield read_json(path)
        except (OSError, ValueError) as error:
            warn(f"trials in {path} cannot be read: {error}")
