"""The pages of a report: where each lies, which template makes it and of what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from petlir.reports.analyses import studies
from petlir.reports.conditions import described_protocols, environments
from petlir.reports.crops import SIDE
from petlir.reports.gallery import gallery
from petlir.reports.material import Material
from petlir.reports.metrics import further
from petlir.reports.pages import backbones, claims, first, grids, methods, tasks
from petlir.reports.pages.page import Page
from petlir.reports.rates import rates

FOLDERS = ("tasks", "methods", "backbones", "claims", "grids", "explained")
NAVIGATION = (
    ("Results", "index.html"),
    ("Pictures", "pictures.html"),
    *((folder.capitalize(), f"{folder}/index.html") for folder in FOLDERS),
    ("Costs", "costs.html"),
    ("Cells", "cells.html"),
    ("Conditions", "conditions.html"),
)
FILES = ("pictures.html", "costs.html", "cells.html", "conditions.html")


def pages(material: Material, images: Path) -> list[Page]:
    """Every page, the first one last: by then all problems are known.

    Args:
        material: what they are made from.
        images: the folder that pictures are copied into.
    """
    made = [*_all(material, images), first.page(material)]
    there = {one.path for one in made}
    navigation = [(title, path) for title, path in NAVIGATION if path in there]
    return [one.within(navigation) for one in made]


def _all(material: Material, images: Path) -> Iterator[Page]:
    """Every page but the first."""
    shown = gallery(material.records, material.store, images, material.tasks)
    yield Page("pictures.html", "pictures.html.j2", {"gallery": shown, "side": SIDE})
    yield from tasks.pages(material, shown)
    yield from methods.pages(material)
    yield from backbones.pages(material)
    yield from claims.pages(material)
    yield from grids.pages(material)
    yield from _explained(material)
    yield Page("costs.html", "costs.html.j2", {"tables": material.tables})
    yield Page("cells.html", "cells.html.j2", {"cells": material.cells})
    yield _conditions(material)


def _explained(material: Material) -> Iterator[Page]:
    """What analyses found, and the rows of each as CSV."""
    found = studies(material.store, material.problems.append)
    for study in found:
        yield Page(f"explained/{study.name}.csv", "data.csv.j2", {"text": study.csv})
    if found:
        yield Page("explained/index.html", "analyses.html.j2", {"studies": found})


def _conditions(material: Material) -> Page:
    values = {
        "protocols": described_protocols(material.records),
        "environments": environments(material.records),
        "rates": rates(material.records, material.store, material.problems.append),
        "further": further(material.records),
        "titles": {name: material.title(name) for name in material.names("task")},
    }
    return Page("conditions.html", "conditions.html.j2", values)
