"""The page of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Page:
    """A page to be made.

    Attributes:
        path: from the top of the site.
        template: its name in `reports/templates`.
        values: values for the template.
        title: its entry in the navigation; without one, another page links to it.
        source: a file that is copied as it is, in place of what a template makes.
    """

    path: str
    template: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    title: str = ""
    source: Path | None = None

    def within(self, navigation: Sequence[tuple[str, str]]) -> Page:
        """Return the page with the titles and paths of the navigation."""
        return replace(self, values={**self.values, "navigation": navigation})
