"""The page of each paper, with its results next to the store's results, and the page of published orderings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from petlir.reports import links
from petlir.reports.claims import by_paper, by_reason
from petlir.reports.context import ReportContext
from petlir.reports.formats import csv_text
from petlir.reports.orderings import OrderingResult, statements
from petlir.reports.pages.page import Page

MOST = 200
"""The maximum number of tested orderings on the page; the CSV file contains all tested orderings."""


def pages(context: ReportContext) -> Iterator[Page]:
    """Yield a page for each paper, a CSV file of the tested orderings, and a page that lists papers and orderings."""
    found = by_paper(context.records, context.claims)
    titles = {task: context.title(task) for task in {one.claim.task for some in found.values() for one in some}}
    for paper, some in found.items():
        values = {"paper": paper, "verdicts": some, "groups": by_reason(some), "titles": titles}
        yield Page(links.page("claims", paper), "paper.html.j2", values)
    tested = context.orderings
    if tested:
        yield Page("claims/orderings.csv", "data.csv.j2", {"text": _csv(tested)})
    listed = {
        "rows": [(paper, Counter(one.verdict for one in some)) for paper, some in found.items()],
        "statements": statements(tested),
        "orderings": tested[:MOST],
        "further": max(0, len(tested) - MOST),
    }
    yield Page("claims/index.html", "claims.html.j2", listed, "Paper comparison")


def _csv(tested: Sequence[OrderingResult]) -> str:
    rows = [
        {
            "statement": one.ordering.statement,
            "paper": one.ordering.paper,
            "left": one.left,
            "relation": one.ordering.relation,
            "right": one.right,
            **one.where._asdict(),
            "difference": one.difference.mean,
            "low": one.difference.low if not one.reason else None,
            "high": one.difference.high if not one.reason else None,
            "verdict": one.verdict,
            "reason": one.reason,
        }
        for one in tested
    ]
    return csv_text(pd.DataFrame(rows))
