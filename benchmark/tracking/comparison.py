"""Values for comparing runs in MLflow: scores with short names, gains over the frozen network, means over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.files import RECORD, headline_tables, read_record
from petlir.benchmark.records.schema import Record, RecordedCell
from petlir.benchmark.scoring.registry import LEADING, METRICS

FROZEN = "frozen"
SAME = ("backbone", "label", "task", "track", "regime", "steps", "batch_size", "patch")
"""The fields in which cells with different seeds must agree to be averaged over seeds."""


@dataclass(frozen=True)
class HeadlineScores:
    """A record's scores under the headline protocols, by test set and image.

    Attributes:
        key: the record's key.
        cell: the record's cell.
        values: metric → (set, image) → value, without images whose restored or degraded version equals the clean image.
        before: (set, image) → PSNR of the degraded image in dB.
    """

    key: str
    cell: RecordedCell
    values: Mapping[str, Mapping[tuple[str, str], float]]
    before: Mapping[tuple[str, str], float]

    @classmethod
    def from_record(cls, record: Record) -> HeadlineScores:
        """Return the scores of a record, which are empty for an unfinished cell."""
        tables = [table.differing() for table in headline_tables(record)]
        values = {
            metric: {(row.set, row.image): row.value for table in tables for row in table.rows(metric)}
            for metric in METRICS
        }
        before = {(row.set, row.image): row.input for table in tables for row in table.rows(LEADING)}
        return cls(
            record.key, record.cell, values, {image: value for image, value in before.items() if value is not None}
        )

    @property
    def psnr(self) -> Mapping[tuple[str, str], float]:
        """PSNR in dB, by set and image."""
        return self.values[LEADING]

    def metrics(self, frozen: HeadlineScores | None) -> dict[str, float]:
        """Return the mean of each metric, of `gain_over_input` and, if known, of `gain_over_frozen`.

        Each metric is averaged over the images of a set, and then over the sets.
        """
        found = {**self.values, "gain_over_input": _minus(self.psnr, self.before)}
        if frozen is not None and frozen.key != self.key:
            found["gain_over_frozen"] = _minus(self.psnr, frozen.psnr)
        return {name: _mean(values) for name, values in found.items() if values}


def _minus(
    one: Mapping[tuple[str, str], float], other: Mapping[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    return {image: value - other[image] for image, value in one.items() if image in other}


def _mean(values: Mapping[tuple[str, str], float]) -> float:
    sets: dict[str, list[float]] = defaultdict(list)
    for (name, _), value in values.items():
        sets[name].append(value)
    return fmean(fmean(of_set) for of_set in sets.values())


@dataclass
class TaskScores:
    """The headline scores of all cells of one backbone, task and track."""

    cells: dict[str, HeadlineScores] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, track: str) -> TaskScores:
        """Read a track's records below the folder of a task; damaged records are left out."""
        found = cls()
        for path in sorted(folder.glob(f"*/{RECORD}")):
            try:
                record = read_record(path)
            except PetlirError:
                continue
            if record.cell.track == track:
                found.add(record)
        return found

    def add(self, record: Record) -> None:
        """Add a record, replacing an older record of the same cell."""
        self.cells[record.key] = HeadlineScores.from_record(record)

    @property
    def frozen(self) -> HeadlineScores | None:
        """The scores of the frozen network, or None if no cell provides them."""
        return next((one for one in self.cells.values() if one.cell.method == FROZEN and one.psnr), None)

    def metrics(self, key: str) -> dict[str, float]:
        """Return those metrics of a cell that are compared between runs."""
        return self.cells[key].metrics(self.frozen)

    def over_seeds(self, cell: RecordedCell) -> dict[str, float]:
        """Return the means and standard deviations of a cell's metrics over all seeds, and the number of seeds."""
        alike = [one for one in self.cells.values() if one.psnr and _same(one.cell, cell)]
        by_seed = {one.cell.seed: one.metrics(self.frozen) for one in alike}
        return {**_spread(by_seed.values()), "seeds": float(len(by_seed))} if by_seed else {}


def _same(one: RecordedCell, other: RecordedCell) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in SAME)


def _spread(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for metrics in several:
        for name, value in metrics.items():
            values[name].append(value)
    found = {name: fmean(of_seeds) for name, of_seeds in values.items()}
    return found | {f"{name}_std": stdev(of_seeds) for name, of_seeds in values.items() if len(of_seeds) > 1}
