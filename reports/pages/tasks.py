"""The page of a task: distributions of per-image gains, training curves, and images on which methods differ most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from petlir.benchmark.records.groups import Group, grouped
from petlir.benchmark.records.schema import Record
from petlir.reports import links
from petlir.reports.column_scores import ColumnScores, ScoredRun, scored_runs
from petlir.reports.context import ReportContext
from petlir.reports.figures import pareto
from petlir.reports.figures.curves import curves
from petlir.reports.figures.distributions import contested, distribution
from petlir.reports.gallery import Photograph, Shown
from petlir.reports.pages.page import Page
from petlir.reports.pages.single_runs import RunPages
from petlir.reports.results import Table
from petlir.reports.summary import untrained_beside_methods
from petlir.reports.titles import named

TRANSFERS = {
    "seen": "seen by {} in pre-training",
    "related": "similar to a pre-training task of {}",
    "unseen": "unseen by {}",
}
"""Descriptions of a task's relation to pre-training; the placeholder is the name of the backbone."""


def pages(context: ReportContext, gallery: Sequence[Shown], runs: RunPages) -> Iterator[Page]:
    """Yield a page for each task, and a page that lists the tasks."""
    found = [(name, context.records_of("task", name)) for name in context.names("task")]
    for name, records in found:
        yield Page(links.page("tasks", name), "task.html.j2", _values(context, name, records, gallery, runs))
    rows = [
        (name, context.title(name), _transfer(records), sum(record.state == "done" for record in records))
        for name, records in found
    ]
    yield Page("tasks/index.html", "tasks.html.j2", {"rows": rows}, "Tasks")


def _values(
    context: ReportContext, name: str, records: list[Record], gallery: Sequence[Shown], runs: RunPages
) -> dict[str, object]:
    pictured = {(shown["group"], image["set"], image["name"]) for shown in gallery if shown["task"] == name
                for image in shown["images"]}  # fmt: skip
    return {
        "name": name,
        "title": context.title(name),
        "task": named(name, context.tasks),
        "transfer": _transfer(records),
        "runs": runs,
        "groups": [_group(context, name, group, members, gallery) for group, members in grouped(records).items()],
        "pictured": pictured,
        "colours": context.colours,
    }


def _group(
    context: ReportContext, name: str, group: Group, members: list[Record], gallery: Sequence[Shown]
) -> dict[str, object]:
    """Return the template values for one group of the task's records."""
    columns: dict[tuple[str, str, str], list[ScoredRun]] = {}
    for (_, set_, protocol), runs in scored_runs(members).items():
        for one in runs:
            columns.setdefault((one.table.domain, set_, protocol), []).append(one)
    own = [table for table in context.tables if table.group == group]
    spreads = [
        distribution(f"{set_}, {protocol}", ColumnScores.from_runs(runs), context.colours)
        for (_, set_, protocol), runs in sorted(columns.items(), key=lambda column: column[0][0])
    ]
    quoted = {
        (protocol, set_): ColumnScores.from_runs(trained)
        for (domain, set_, protocol), runs in columns.items()
        if domain == "photographs"
        and (trained := [one for one in runs if one.headline and one.record.cell.label in context.colours])
    }
    return {
        "title": group.title,
        "tables": [table for one in own if (table := one.only(name))],
        "notes": [note for one in own for note in _notes(one, name)],
        "photograph": _photograph(gallery, group, name),
        "plots": [(t, drawn) for t in own if (drawn := pareto.of_task(t, name, context.colours))],
        "spreads": [spread for spread in spreads if spread],
        "curves": curves(members, context.colours),
        "contested": contested(quoted),
    }


def _notes(table: Table, name: str) -> Iterator[str]:
    """Yield sentences on the scores of methods and untrained baselines on each set of photographs of a hybrid task."""
    for place in table.headlines.get(name, ()):
        if table.columns[place].hybrid and table.domain == "photographs" and not table.part:
            yield from untrained_beside_methods(table, place)


def _photograph(gallery: Sequence[Shown], group: Group, name: str) -> Photograph | None:
    """Return the task's photograph whose restored versions differ most from one another."""
    images = [image for one in gallery if (one["group"], one["task"]) == (group.title, name) for image in one["images"]]
    return max(images, key=lambda image: image["contrast"]["levels"] if image["contrast"] else -1.0, default=None)


def _transfer(records: Sequence[Record]) -> str:
    """Return the task's relation to the pre-training of each backbone, as stated by the newest finished record."""
    done = sorted((record for record in records if record.state == "done"), key=lambda record: str(record.finished))
    known = {record.cell.backbone: record.cell.transfer for record in done}
    return ", ".join(TRANSFERS[transfer].format(backbone) for backbone, transfer in sorted(known.items()))
