"""The pages of a report, with their paths, templates and values.

Each module of this folder that has a function `pages(context)` contributes the pages that the function yields.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from petlir.reports.analyses import studies
from petlir.reports.conditions import described_protocols, environments
from petlir.reports.context import ReportContext
from petlir.reports.crops import SIDE
from petlir.reports.gallery import Shown, gallery
from petlir.reports.metrics import extra_metrics
from petlir.reports.pages import backbones, claims, first, grids, methods, single_runs, tasks
from petlir.reports.pages.page import Page
from petlir.reports.rates import rates

FOLDERS = ("tasks", "methods", "backbones", "claims", "grids", "explained", "runs", "records")
"""The folders of pages; other pages are beside `index.html`."""

OWN = (tasks, methods, backbones, claims, grids, single_runs)
"""The modules whose pages `_all` builds in a fixed order; the pages of all other modules follow."""


def pages(context: ReportContext, images: Path) -> list[Page]:
    """Return all pages; the first page comes last because it lists the problems found while building the other pages.

    Args:
        context: the report context.
        images: the folder to copy images into.
    """
    shown = gallery(context.records, context.store, images, context.tasks)
    cells = single_runs.RunPages.from_records(context.records)
    made = [*_all(context, shown, cells), first.page(context, shown, cells, images)]
    navigation = [(one.title, one.path) for one in (made[-1], *made[:-1]) if one.title]
    return [one.within(navigation) for one in made]


def _all(context: ReportContext, shown: Sequence[Shown], cells: single_runs.RunPages) -> Iterator[Page]:
    """Yield every page except the first."""
    yield Page("pictures.html", "pictures.html.j2", {"gallery": shown, "side": SIDE}, "Images")
    yield from tasks.pages(context, shown, cells)
    yield from single_runs.pages(context, cells, shown)
    yield from methods.pages(context)
    yield from backbones.pages(context)
    yield from claims.pages(context)
    yield from grids.pages(context)
    yield from _explained(context)
    yield Page("costs.html", "costs.html.j2", {"tables": context.tables}, "Costs")
    yield Page("cells.html", "cells.html.j2", {"cells": context.cells}, "Runs")
    yield _conditions(context)
    for entry in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{entry.name}")
        if hasattr(module, "pages") and module not in OWN:
            yield from module.pages(context)


def _explained(context: ReportContext) -> Iterator[Page]:
    """Yield the page of all analyses, and a CSV file with the rows of each analysis."""
    found = studies(context.store, context.problems.append)
    for study in found:
        yield Page(f"explained/{study.name}.csv", "data.csv.j2", {"text": study.csv})
    if found:
        yield Page("explained/index.html", "analyses.html.j2", {"studies": found}, "Analyses")


def _conditions(context: ReportContext) -> Page:
    values = {
        "protocols": described_protocols(context.records),
        "environments": environments(context.records),
        "rates": rates(context.records, context.store, context.problems.append),
        "further": extra_metrics(context.records),
        "titles": {name: context.title(name) for name in context.names("task")},
    }
    return Page("conditions.html", "conditions.html.j2", values, "Evaluation setup")
