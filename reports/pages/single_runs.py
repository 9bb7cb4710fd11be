"""A page for each cell of a results table: its scores, images, training curve, command and records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from petlir.benchmark.records.files import RECORD, headlines
from petlir.benchmark.records.groups import Group, grouped
from petlir.benchmark.records.schema import Record
from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.store import Store
from petlir.reports import links
from petlir.reports.context import ReportContext
from petlir.reports.figures.curves import curves
from petlir.reports.gallery import Photograph, Shown
from petlir.reports.pages.methods import command
from petlir.reports.pages.page import Page

Place = tuple[Group, str, str]
"""A cell of a results table: the group of the table, the label of the method, and the task."""


@dataclass(frozen=True)
class ScoreMeans:
    """A run's mean scores over the images of one set under one protocol, by metric; None means infinite PSNR."""

    seed: int
    budget: str
    set: str
    protocol: str
    headline: bool
    images: int
    values: Mapping[str, float | None]
    input_psnr: float | None

    @property
    def psnr(self) -> float | None:
        """The mean PSNR in dB."""
        return self.values[LEADING]


@dataclass(frozen=True)
class RunPages:
    """The pages of all cells of the results tables."""

    records: Mapping[Place, Sequence[Record]]

    @classmethod
    def from_records(cls, records: Sequence[Record]) -> RunPages:
        """Group records by the table cell in which they are shown."""
        found: dict[Place, list[Record]] = {}
        for group, members in grouped(records).items():
            for record in members:
                found.setdefault((group, record.cell.label, record.cell.task), []).append(record)
        return cls(found)

    def path(self, group: Group, label: str, task: str) -> str:
        """Return the path of a table cell's page, relative to the root of the site; empty if the cell has no record."""
        if (group, label, task) not in self.records:
            return ""
        name = f"{group.backbone} {label} {task} {group.track} {group.regime} {group.device}"
        return links.page("runs", name)


def pages(context: ReportContext, runs: RunPages, gallery: Sequence[Shown]) -> Iterator[Page]:
    """Yield a page for each cell of a results table, and unchanged copies of the cell's records."""
    pictures = {(shown["group"], shown["task"]): shown["images"] for shown in gallery}
    copied: set[str] = set()
    store = Store(context.store)
    for (group, label, task), records in runs.records.items():
        for record in records:
            path = store.cell_folder(record.cell, record.key) / RECORD
            if record.key not in copied and path.is_file():
                copied.add(record.key)
                yield Page(f"records/{record.key}.json", source=path)
        values = {
            "group": group,
            "label": label,
            "method": records[0].cell.method,
            "task": task,
            "title": context.title(task),
            "records": sorted(records, key=lambda record: record.cell.seed),
            "copied": {record.key for record in records if record.key in copied},
            "means": [means for record in records for means in _means(record)],
            "photographs": [one for one in pictures.get((group.title, task), ()) if _labels(one) >= {label}],
            "curves": curves(records, context.colours),
            "command": command(records),
        }
        yield Page(runs.path(group, label, task), "run.html.j2", values)


def _labels(photograph: Photograph) -> set[str]:
    return {picture["label"] for picture in photograph["pictures"]}


def _means(record: Record) -> Iterator[ScoreMeans]:
    """Yield the mean scores of a run on each test set; scores under headline protocols come first."""
    quoted = headlines(record)
    for table in sorted(record.tables, key=lambda table: table.protocol != quoted[table.set]):
        kept = table.differing()
        means = {name: kept.mean(name) or (None if name == LEADING else table.mean(name)) for name in METRICS}
        yield ScoreMeans(
            record.cell.seed,
            record.cell.budget if record.cell.regime != "none" else "",
            table.set,
            table.protocol or "",
            quoted[table.set] == table.protocol,
            len(kept.images),
            means,
            kept.mean(LEADING, "inputs"),
        )
