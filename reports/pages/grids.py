"""The pages of the named grids, each with a CSV file of its points."""

from __future__ import annotations

from collections.abc import Iterator

from petlir.reports.context import ReportContext
from petlir.reports.grids import curves
from petlir.reports.grids.stored import csv, stored
from petlir.reports.grids.studies import studies
from petlir.reports.pages.page import Page


def pages(context: ReportContext) -> Iterator[Page]:
    """Yield a page and a CSV file for each named grid in the store and for stored bytes, and a page that lists them."""
    found = studies(context.records, context.claims, context.problems.append)
    for one in found:
        name = f"grids/{one.grid.name}"
        yield Page(f"{name}.html", "grid.html.j2", {"study_page": one, "grids": curves})
        yield Page(f"{name}.csv", "data.csv.j2", {"text": one.csv})
    if plans := stored(context.records):
        yield Page("grids/stored.html", "stored.html.j2", {"rows": plans, "grids": curves})
        yield Page("grids/stored.csv", "data.csv.j2", {"text": csv(plans)})
    if found or plans:
        yield Page("grids/index.html", "grids.html.j2", {"rows": found, "plans": plans}, "Studies")
