"""The page of each named grid that the records hold, with the data of its figures."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from reports import study_curves
from reports.material import Material
from reports.pages.page import Page
from reports.studies import studies


def pages(material: Material) -> Iterator[Page]:
    """A page and a CSV for each grid, and the list of them; nothing where there is none."""
    found = studies(material.records, material.plugins, material.problems.append)
    for one in found:
        values = {"study_page": one, "grids": study_curves}
        yield Page(f"grids/{one.grid.name}.html", "grid.html.j2", values)
        yield Page(f"grids/{one.grid.name}.csv", "data.csv.j2", {"text": Markup(one.csv)})
    if found:
        yield Page("grids/index.html", "grids.html.j2", {"rows": found})
