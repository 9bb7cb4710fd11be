"""Comparison of repeated runs with the published records that ship with the project."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing import tolerance
from petlir.benchmark.records.files import read_record
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.store import Store
from petlir.reports.claims import MARGIN
from petlir.reports.formats import plural, signed
from petlir.reports.frame import load

LEADERBOARD = Path(__file__).parents[1] / "results" / "leaderboard"
"""The folder of the shipped stores, each in its own subfolder; the documentation quotes results from `reference`."""


@dataclass(frozen=True)
class RepeatedRun:
    """A run with the same key as a shipped record.

    Attributes:
        title: the title of the cell.
        difference: the run's mean PSNR minus the published mean PSNR in dB, for the test set and the protocol with the
            largest difference; None if the run has no result.
        where: the test set and the protocol of `difference`.
        tolerance: the largest difference that counts as agreement, in dB.
    """

    title: str
    difference: float | None
    where: str
    tolerance: float

    @property
    def agrees(self) -> bool:
        """True if the run reproduces the published scores within the tolerance."""
        return self.difference is not None and abs(self.difference) <= self.tolerance


def shipped_reference() -> Path | None:
    """Return the shipped reference store; None if the installation does not include it."""
    folder = LEADERBOARD / "reference"
    return folder if Store(folder).holds_records() else None


def repeated_runs(
    records: Sequence[Record], leaderboard: Path | None = None, warn: Callable[[str], None] = lambda line: None
) -> list[RepeatedRun]:
    """Return the runs whose keys match shipped records: first those without a result, then by decreasing difference.

    A copy of a shipped record is not a repeated run.

    Args:
        records: the records of the runs.
        leaderboard: the folder of the shipped stores; by default, the project's own.
        warn: receives one line for each shipped file that is not a record.
    """
    leaderboard = leaderboard or LEADERBOARD
    published = _published({record.key for record in records}, leaderboard, warn)
    table = leaderboard / tolerance.TABLE.name
    found = [
        _repeated(record, published[record.key], table)
        for record in records
        if record.key in published and record.finished != published[record.key].finished
    ]
    return sorted(found, key=lambda one: -math.inf if one.difference is None else -abs(one.difference))


def agreement_of_run(store: Path, keys: Collection[str], warn: Callable[[str], None]) -> str:
    """Return the sentence of `agreement` on the cells with these keys.

    If no shipped record has one of these keys, the returned sentence is empty and the store is not read.

    Args:
        store: the store of the run.
        keys: the keys of the run's cells.
        warn: receives one line for each file that is not a record.
    """
    published = _published(set(keys), LEADERBOARD, warn)
    return agreement(repeated_runs(load(store, keys=published), warn=warn)) if published else ""


def agreement(runs: Sequence[RepeatedRun]) -> str:
    """Return a sentence: how many runs agree with shipped records, and the largest difference; empty without runs."""
    if not runs:
        return ""
    tolerances = sorted({run.tolerance for run in runs})
    stated = " to ".join(f"{value:g}" for value in dict.fromkeys((tolerances[0], tolerances[-1])))
    agreeing = sum(run.agrees for run in runs)
    verb = "agrees" if 1 in (agreeing, len(runs)) else "agree"
    told = (
        f"{agreeing} of {plural(len(runs), 'run')} {verb} with the published scores within the stated tolerance "
        f"({stated} dB)"
    )
    lost = sum(run.difference is None for run in runs)
    without = [f"{lost} without a result"] if lost else []
    largest = next((run for run in runs if run.difference is not None), None)
    differs = [f"largest difference {_difference(largest)}"] if largest else []
    return f"{'; '.join([told, *without, *differs])}."


def _difference(run: RepeatedRun) -> str:
    if not run.difference:
        return "0.00 dB"
    small = abs(run.difference) < 0.005
    return f"{f'{run.difference:.1g}' if small else signed(run.difference)} dB: {run.title} ({run.where})"


def _published(keys: set[str], leaderboard: Path, warn: Callable[[str], None]) -> dict[str, Done]:
    """Return finished shipped records with these keys; the name of a cell's folder ends with the start of its key."""
    ends = {key[:8] for key in keys}
    found: dict[str, Done] = {}
    for store in sorted(path for path in leaderboard.glob("*") if path.is_dir()):
        for path in Store(store).files():
            if path.parent.name[-8:] not in ends:
                continue
            try:
                record = read_record(path)
            except PetlirError as error:
                warn(str(error))
                continue
            if isinstance(record, Done) and record.key in keys:
                found.setdefault(record.key, record)
    return found


def _repeated(record: Record, published: Done, table: Path) -> RepeatedRun:
    differences = dict(_differences(record, published))
    where = max(differences, key=lambda name: abs(differences[name]), default="")
    cell = record.cell
    largest = tolerance.measured(cell.label, cell.method, cell.task, MARGIN, table)
    return RepeatedRun(record.title, differences.get(where), where, largest)


def _differences(record: Record, published: Done) -> Iterator[tuple[str, float]]:
    """Yield the difference in mean PSNR by test set and protocol, over images that neither run restores exactly."""
    ours = {(score.set, score.protocol, score.image): score.value for score in record.rows()}
    gaps: dict[str, list[float]] = {}
    for score in published.rows():
        here, there = ours.get((score.set, score.protocol, score.image), math.inf), score.value
        exact = math.inf in (here, there)
        gaps.setdefault(f"{score.set}, {score.protocol}", []).extend([] if exact else [here - there])
    if record.scores:
        yield from ((where, fmean(some) if some else 0.0) for where, some in gaps.items())
