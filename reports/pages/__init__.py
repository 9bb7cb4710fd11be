"""The pages of a report: where each lies, which template makes it and of what.

Every module of this folder that has a function `pages(context)` contributes what that yields.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from petlir.reports.analyses import studies
from petlir.reports.conditions import described_protocols, environments
from petlir.reports.context import ReportContext
from petlir.reports.crops import SIDE
from petlir.reports.gallery import gallery
from petlir.reports.metrics import extra_metrics
from petlir.reports.pages import backbones, claims, first, grids, methods, tasks
from petlir.reports.pages.page import Page
from petlir.reports.rates import rates

FOLDERS = ("tasks", "methods", "backbones", "claims", "grids", "explained")
"""The folders of pages; other pages lie beside `index.html`."""


def pages(context: ReportContext, images: Path) -> list[Page]:
    """Every page, the first one last: by then all problems are known.

    Args:
        context: what they are made from.
        images: the folder that pictures are copied into.
    """
    made = [*_all(context, images), first.page(context)]
    navigation = [(one.title, one.path) for one in (made[-1], *made[:-1]) if one.title]
    return [one.within(navigation) for one in made]


def _all(context: ReportContext, images: Path) -> Iterator[Page]:
    """Every page but the first."""
    shown = gallery(context.records, context.store, images, context.tasks)
    yield Page("pictures.html", "pictures.html.j2", {"gallery": shown, "side": SIDE}, "Pictures")
    yield from tasks.pages(context, shown)
    yield from methods.pages(context)
    yield from backbones.pages(context)
    yield from claims.pages(context)
    yield from grids.pages(context)
    yield from _explained(context)
    yield Page("costs.html", "costs.html.j2", {"tables": context.tables}, "Costs")
    yield Page("cells.html", "cells.html.j2", {"cells": context.cells}, "Cells")
    yield _conditions(context)
    for entry in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{entry.name}")
        if hasattr(module, "pages") and module not in (tasks, methods, backbones, claims, grids):
            yield from module.pages(context)


def _explained(context: ReportContext) -> Iterator[Page]:
    """What analyses found, and the rows of each as CSV."""
    found = studies(context.store, context.problems.append)
    for study in found:
        yield Page(f"explained/{study.name}.csv", "data.csv.j2", {"text": study.csv})
    if found:
        yield Page("explained/index.html", "analyses.html.j2", {"studies": found}, "Explained")


def _conditions(context: ReportContext) -> Page:
    values = {
        "protocols": described_protocols(context.records),
        "environments": environments(context.records),
        "rates": rates(context.records, context.store, context.problems.append),
        "further": extra_metrics(context.records),
        "titles": {name: context.title(name) for name in context.names("task")},
    }
    return Page("conditions.html", "conditions.html.j2", values, "Conditions")
