"""What a page is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Page:
    """A page to be made.

    Attributes:
        path: from the top of the site.
        template: its name in `reports/templates`.
        values: what the template is given.
        title: its entry in the navigation; without one, another page links to it.
    """

    path: str
    template: str
    values: Mapping[str, object]
    title: str = ""

    def within(self, navigation: Sequence[tuple[str, str]]) -> Page:
        """The page with the titles and paths that its head leads to."""
        return replace(self, values={**self.values, "navigation": navigation})
