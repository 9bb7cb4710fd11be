"""The page of a task: how its images spread, how training went, and where methods differ most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from petlir.benchmark.records.groups import Group, groups
from petlir.benchmark.records.schema import Record
from petlir.reports import links
from petlir.reports.context import ReportContext
from petlir.reports.figures import pareto
from petlir.reports.figures.curves import curves
from petlir.reports.figures.distributions import contested, distribution
from petlir.reports.frame import score_frame
from petlir.reports.gallery import Shown
from petlir.reports.pages.page import Page
from petlir.reports.titles import named


def pages(context: ReportContext, gallery: Sequence[Shown]) -> Iterator[Page]:
    """A page for each task, and the list of them."""
    found = [(name, context.of("task", name)) for name in context.names("task")]
    for name, records in found:
        yield Page(links.page("tasks", name), "task.html.j2", _values(context, name, records, gallery))
    rows = [
        (name, context.title(name), _transfer(records), sum(record.state == "done" for record in records))
        for name, records in found
    ]
    yield Page("tasks/index.html", "tasks.html.j2", {"rows": rows}, "Tasks")


def _values(context: ReportContext, name: str, records: list[Record], gallery: Sequence[Shown]) -> dict[str, object]:
    pictured = {(shown["group"], image["set"], image["name"]) for shown in gallery if shown["task"] == name
                for image in shown["images"]}  # fmt: skip
    return {
        "name": name,
        "title": context.title(name),
        "task": named(name, context.tasks),
        "transfer": _transfer(records),
        "groups": [_group(context, name, group, group.select(records)) for group in groups(records)],
        "pictured": pictured,
        "colours": context.colours,
    }


def _group(context: ReportContext, name: str, group: Group, members: list[Record]) -> dict[str, object]:
    """One table's share of the task."""
    frame = score_frame(members).sort_values("domain", kind="stable")
    own = [table for table in context.tables if table.group == group]
    here = set(frame.label)
    trained = [label for label in context.colours if label in here]
    spreads = [
        distribution(f"{place[1]}, {place[2]}", rows, context.colours)
        for place, rows in frame.groupby(["domain", "set", "protocol"], sort=False)
    ]
    return {
        "title": group.title,
        "plots": [(t, drawn) for t in own if (drawn := pareto.of_task(t, name, context.colours))],
        "spreads": [spread for spread in spreads if spread],
        "curves": curves(members, context.colours),
        "contested": contested(frame[frame.headline & (frame.domain == "photographs")], trained),
    }


def _transfer(records: Sequence[Record]) -> str:
    """What each backbone has seen of the task by its newest result; a cell that never ran knows nothing of it."""
    done = sorted((record for record in records if record.state == "done"), key=lambda record: str(record.finished))
    known = {record.cell.backbone: record.cell.transfer for record in done}
    return ", ".join(f"{transfer} by {backbone}" for backbone, transfer in sorted(known.items()) if transfer)
