"""The scores of a column as arrays: building a data frame for each column would take ten times as long."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.records.files import headlines
from petlir.benchmark.records.groups import ANY
from petlir.benchmark.records.schema import Record
from petlir.benchmark.records.scores import ScoreTable
from petlir.benchmark.records.types import Value
from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.statistics import Scores
from petlir.benchmark.statistics.columns import Names, ScoreRows
from petlir.benchmark.statistics.convergence import converged
from petlir.benchmark.statistics.grouped import Codes

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredRun:
    """A record with its scores on one set under one protocol; `headline` marks the headline protocol of the set."""

    record: Record
    table: ScoreTable
    headline: bool

    @property
    def trained(self) -> bool:
        """True if the run trained anything."""
        return self.record.cell.regime != ANY

    @property
    def budget(self) -> str:
        """The training budget; empty if nothing was trained."""
        return self.record.cell.budget if self.trained else ""


ScoredRuns = Mapping[tuple[str, str, str], Sequence[ScoredRun]]
"""Scores by task, set and protocol."""


def scored_runs(records: Iterable[Record]) -> ScoredRuns:
    """Return the scores of records by task, set and protocol, in the order of the records."""
    found: dict[tuple[str, str, str], list[ScoredRun]] = {}
    for record in records:
        quoted = headlines(record)
        for table in record.tables:
            place = (record.cell.task, table.set, table.protocol or "")
            found.setdefault(place, []).append(ScoredRun(record, table, table.protocol == quoted[table.set]))
    return found


@dataclass(frozen=True, eq=False)
class ColumnScores:
    """Scores with an entry for each image of each run.

    Attributes:
        records: the record of each run.
        run: the index of each entry's run.
        image: the image of each entry.
        unit: the source scene of each entry's image.
        values: the values of each metric; NaN where the metric was not computed.
        inputs: the values of each metric for the degraded images.
    """

    records: Sequence[Record]
    run: Codes
    image: Names
    unit: Names
    values: Mapping[str, Scores]
    inputs: Mapping[str, Scores]

    @classmethod
    def from_runs(cls, runs: Sequence[ScoredRun]) -> Self:
        """Return the scores of a column's runs, in the order of the runs."""
        tables = [one.table for one in runs]
        return cls(
            [one.record for one in runs],
            np.repeat(np.arange(len(tables)), [len(table.images) for table in tables]),
            np.array([image for table in tables for image in table.images], object),
            np.array([unit for table in tables for unit in table.units], object),
            {name: _column((table.values.get(name), len(table.images)) for table in tables) for name in METRICS},
            {name: _column((table.inputs.get(name), len(table.images)) for table in tables) for name in METRICS},
        )

    def __getitem__(self, kept: Flags) -> Self:
        """Return the scores with only the entries for which `kept` is True."""
        return replace(
            self,
            run=self.run[kept],
            image=self.image[kept],
            unit=self.unit[kept],
            values={name: values[kept] for name, values in self.values.items()},
            inputs={name: values[kept] for name, values in self.inputs.items()},
        )

    def each(self, what: Callable[[Record], object]) -> Names:
        """Return `what(record)` for the record of each entry."""
        return np.array([what(record) for record in self.records], object)[self.run]

    @property
    def psnr(self) -> Scores:
        """PSNR in dB; infinite where the restored image equals the clean one."""
        return self.values[LEADING]

    @property
    def input_psnr(self) -> Scores:
        """The PSNR of the degraded image in dB."""
        return self.inputs[LEADING]

    @cached_property
    def label(self) -> Names:
        """The label of each entry."""
        return self.each(lambda record: record.cell.label)

    @cached_property
    def trained(self) -> Flags:
        """True for each entry of a run that trained anything."""
        return self.each(lambda record: record.cell.regime != ANY).astype(bool)

    @cached_property
    def rows(self) -> ScoreRows:
        """The entries in the form that the statistics functions take."""
        return ScoreRows(
            self.label,
            self.each(lambda record: record.cell.method),
            self.each(lambda record: record.cell.seed).astype(int),
            self.unit,
            self.image,
            self.psnr,
            self.each(lambda record: converged(record.convergence) is True).astype(bool),
        )

    @cached_property
    def present(self) -> list[Record]:
        """The records with at least one entry, without duplicates, in order."""
        return list({self.records[place].key: self.records[place] for place in np.unique(self.run)}.values())


def _column(parts: Iterable[tuple[Sequence[Value] | None, int]]) -> Scores:
    """Return the concatenated values of tables; the text `inf` becomes infinity, and missing values become NaN."""
    return np.array([value for values, count in parts for value in values or [math.nan] * count], float)
