"""The page of each backbone: pre-training, weights and results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from petlir.benchmark.weights.cards import Card, described
from petlir.reports import links
from petlir.reports.context import ReportContext
from petlir.reports.pages.page import Page


def pages(context: ReportContext) -> Iterator[Page]:
    """Yield a page for each backbone, and a page that lists the backbones."""
    names = context.names("backbone")
    found = {name: _values(context, name) for name in names}
    for name in names:
        yield Page(links.page("backbones", name), "backbone.html.j2", found[name])
    yield Page("backbones/index.html", "backbones.html.j2", {"rows": [found[name] for name in names]}, "Backbones")


def _values(context: ReportContext, name: str) -> dict[str, object]:
    records = context.records_of("backbone", name)
    done = [record for record in records if record.state == "done"]
    used = sorted({record.digests.weights for record in done})
    untouched = {record.costs.total for record in done if record.costs.trainable == 0}
    return {
        "name": name,
        "total": min(untouched, default=None),
        "weights": used,
        "card": _card(name, used),
        "heads": sorted({(r.cell.task, " → ".join(r.cell.heads), r.cell.transfer) for r in done}),
        "states": Counter(record.state for record in records),
        "titles": {task: context.title(task) for task in context.names("task")},
        "tables": [table for table in context.tables if table.group.backbone == name],
    }


def _card(name: str, used: list[str]) -> Card | None:
    """Return the card of the weights from which all cells started; None if weights differ or have no card."""
    return described(name, used[0]) if len(used) == 1 else None
