"""The first page: the answer, the tables, quality over size, ranks."""

from __future__ import annotations

from petlir.reports.answer import answer
from petlir.reports.conditions import mixed
from petlir.reports.context import ReportContext
from petlir.reports.figures import pareto, ranks
from petlir.reports.pages.page import Page


def page(context: ReportContext) -> Page:
    """The page that a reader opens first."""
    tables = context.tables
    domain = min((table.domain for table in tables), key=lambda name: name != "photographs")
    shown = [table for table in tables if table.domain == domain]
    values = {
        "answer": answer(tables, context.records, context.cells),
        "tables": tables,
        "domains": sorted({table.domain for table in tables}),
        "domain": domain,
        "transfers": sorted({column.transfer for table in tables for column in table.columns} - {""}),
        "plots": [(table, pareto.overview(table, context.colours)) for table in shown],
        "strips": [(table, drawn) for table in shown if (drawn := ranks.strips(table, context.colours))],
        "regrets": [lost for table in shown if (lost := ranks.regrets(table, context.colours))],
        "problems": [*context.problems, *mixed(context.records)],
    }
    return Page("index.html", "index.html.j2", values, "Results")
