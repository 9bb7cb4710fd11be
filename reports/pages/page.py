"""The page of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Page:
    """A page to render.

    Attributes:
        path: the path relative to the root of the site.
        template: the file name of the template in `reports/templates`.
        values: the values with which the template is rendered.
        title: the title in the navigation bar; empty for a page that is not in the navigation bar.
        source: a file to copy unchanged instead of rendering a template.
    """

    path: str
    template: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    title: str = ""
    source: Path | None = None

    def within(self, navigation: Sequence[tuple[str, str]]) -> Page:
        """Return a copy of the page with the navigation added to the template values.

        Args:
            navigation: titles and paths of the pages in the navigation.
        """
        return replace(self, values={**self.values, "navigation": navigation})
