"""The pages of a report: where each lies, which template makes it and of what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reports.analyses import studies
from reports.conditions import described_protocols, environments
from reports.gallery import gallery
from reports.material import Material
from reports.metrics import further
from reports.pages import backbones, claims, first, methods, tasks
from reports.pages.page import Page
from reports.rates import rates

FOLDERS = ("tasks", "methods", "backbones", "claims")
ANALYSES = "analyses.html"
NAVIGATION = (
    ("Results", "index.html"), ("Pictures", "pictures.html"), ("Tasks", "tasks/index.html"),
    ("Methods", "methods/index.html"), ("Backbones", "backbones/index.html"), ("Claims", "claims/index.html"),
    ("Explained", ANALYSES), ("Costs", "costs.html"), ("Cells", "cells.html"), ("Conditions", "conditions.html"),
)  # fmt: skip
FILES = ("pictures.html", "costs.html", ANALYSES, "cells.html", "conditions.html")


def pages(material: Material, images: Path) -> Iterator[Page]:
    """Every page, the first one last: by then all problems are known.

    Args:
        material: what they are made from.
        images: the folder that pictures are copied into.
    """
    shown = gallery(material.records, material.store, images, material.tasks)
    explained = studies(material.store, material.problems.append)
    navigation = [one for one in NAVIGATION if explained or one[1] != ANALYSES]
    for made in (
        Page("pictures.html", "pictures.html.j2", {"gallery": shown}),
        *tasks.pages(material, shown),
        *methods.pages(material),
        *backbones.pages(material),
        *claims.pages(material),
        Page("costs.html", "costs.html.j2", {"tables": material.tables}),
        *([Page(ANALYSES, "analyses.html.j2", {"studies": explained})] if explained else []),
        Page("cells.html", "cells.html.j2", {"cells": material.cells}),
        _conditions(material),
        first.page(material),
    ):
        yield made.within(navigation)


def _conditions(material: Material) -> Page:
    values = {
        "protocols": described_protocols(material.records),
        "environments": environments(material.records),
        "rates": rates(material.records, material.store, material.problems.append),
        "further": further(material.records),
        "titles": {name: material.title(name) for name in material.names("task")},
    }
    return Page("conditions.html", "conditions.html.j2", values)
