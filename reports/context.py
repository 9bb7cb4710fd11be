"""The report context: records and derived data shared by all pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from petlir.benchmark.published import Claim, claims, orderings
from petlir.benchmark.records.schema import Record
from petlir.benchmark.task import Task
from petlir.reports.cells import CellRow, listed
from petlir.reports.figures.colours import classes
from petlir.reports.method_cards import MethodCard, method_cards
from petlir.reports.orderings import OrderingResult, findings
from petlir.reports.results import Table
from petlir.reports.tables import tables
from petlir.reports.titles import built_in_tasks, title


@dataclass
class ReportContext:
    """The records of a store, and the values derived from them that several pages use.

    Attributes:
        store: the folder that holds the records.
        records: the records in the store, at least one.
        problems: one line for each file that could not be read.
        reference: the context of a second store that is shown for comparison; None if there is no second store.
    """

    store: Path
    records: Sequence[Record]
    problems: list[str]
    reference: ReportContext | None = None

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The built-in tasks by name, from which pages take titles."""
        return built_in_tasks()

    @cached_property
    def method_cards(self) -> Mapping[str, MethodCard]:
        """The cards of the installed methods; a method in the records may not be installed."""
        return method_cards()

    @cached_property
    def claims(self) -> list[Claim]:
        """All published numbers."""
        return claims()

    @cached_property
    def tables(self) -> list[Table]:
        """The tables of results."""
        return tables(self.records, self.tasks)

    @cached_property
    def orderings(self) -> list[OrderingResult]:
        """The published orderings, tested in every column that has both methods."""
        return findings(self.records, orderings())

    @cached_property
    def cells(self) -> list[CellRow]:
        """All cells, including missing seeds."""
        return listed(self.records)

    @cached_property
    def colours(self) -> dict[str, str]:
        """Style classes of each trained label, the same in every plot."""
        return classes(self.records)

    def title(self, task: str) -> str:
        """Return the title of a task."""
        return title(task, self.tasks)

    @cached_property
    def _parts(self) -> dict[str, dict[str, list[Record]]]:
        """The records, by a field of their cell and the value of that field."""
        found: dict[str, dict[str, list[Record]]] = {"task": {}, "method": {}, "backbone": {}}
        for record in self.records:
            for part, named in found.items():
                named.setdefault(str(getattr(record.cell, part)), []).append(record)
        return found

    def names(self, part: str) -> list[str]:
        """Return the distinct values of a field of the cells: `task`, `method` or `backbone`."""
        return sorted(self._parts[part])

    def records_of(self, part: str, name: str) -> list[Record]:
        """Return the records whose cell has the value `name` in the field `part`."""
        return self._parts[part].get(name, [])
