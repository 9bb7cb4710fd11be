"""The first page: a summary, an image pair, each task's best method, the tables, quality over cost, and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from petlir.reports.agreement import agreement, repeated_runs
from petlir.reports.answer import answer, headline
from petlir.reports.conditions import mixed
from petlir.reports.context import ReportContext
from petlir.reports.example import picture_pair
from petlir.reports.figures import pareto, ranks
from petlir.reports.gallery import Shown
from petlir.reports.orderings import statements
from petlir.reports.pages.page import Page
from petlir.reports.pages.single_runs import RunPages
from petlir.reports.results import Table
from petlir.reports.summary import ranks_over_tasks, surprises, task_summaries


def page(context: ReportContext, gallery: Sequence[Shown], runs: RunPages, images: Path) -> Page:
    """Return the first page."""
    tables = context.tables
    domain = min((table.domain for table in tables), key=lambda name: name != "photographs")
    shown = [table for table in tables if table.domain == domain]
    main = headline(tables)
    petl = {row.label for table in tables for row in table.rows if row.kind == "petl"}
    agreed = agreement(repeated_runs(context.records, warn=context.problems.append))
    values = {
        "answer": [*answer(tables, context.records, context.cells), *filter(None, [agreed])],
        "pair": picture_pair(gallery, petl, images.parent),
        "surprises": surprises(main, context.records, context.orderings),
        "summaries": task_summaries(main),
        "overall": [(table, ranked) for table in main if (ranked := ranks_over_tasks(table))],
        "statements": statements(context.orderings),
        "tables": tables,
        "runs": runs,
        "domains": sorted({table.domain for table in tables}),
        "domain": domain,
        "transfers": sorted({column.transfer for table in tables for column in table.columns} - {""}),
        "leading": _leading(tables),
        "plots": [(table, pareto.overview(table, context.colours)) for table in shown],
        "strips": [(table, drawn) for table in shown if (drawn := ranks.strips(table, context.colours))],
        "regrets": [lost for table in shown if (lost := ranks.regrets(table, context.colours))],
        "reference": _reference(context.reference),
        "problems": [*context.problems, *mixed(context.records)],
    }
    return Page("index.html", "index.html.j2", values, "Results")


def _leading(tables: Sequence[Table]) -> dict[str, str]:
    """Return the titles of the tasks with a result; in a narrow window, the reader chooses the task that is shown."""
    columns = (table.columns[place] for table in tables for place in table.leading)
    return {column.task: column.title for column in columns}


def _reference(context: ReportContext | None) -> dict[str, object] | None:
    """Return the template values of the reference leaderboard; None if no leaderboard is given or it has no records."""
    if context is None or not context.records:
        return None
    main = headline(context.tables)
    return {
        "answer": answer(context.tables, context.records, context.cells),
        "summaries": task_summaries(main),
        "tables": main,
        "statements": statements(context.orderings),
    }
