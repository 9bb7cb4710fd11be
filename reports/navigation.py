"""The links to the main pages, at the top of every page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup

LINK = Markup('<a href="{}{}"{}>{}</a>\n')
"""The HTML of a link, with placeholders for the path to the root, the path from the root, the state, and the title."""


def navigation_bar(entries: Sequence[tuple[str, str]], root: str, here: str) -> Markup:
    """Return the links as HTML; the link to the current page, or else to a page in the same folder, is marked current.

    Args:
        entries: titles and paths of the main pages.
        root: the path of the site's root relative to the page.
        here: the path of the current page.
    """
    listed = any(path == here for _, path in entries)
    return _bar(tuple(entries), root, here if listed else f"{here.partition('/')[0]}/")


@lru_cache(maxsize=64)
def _bar(entries: tuple[tuple[str, str], ...], root: str, place: str) -> Markup:
    """Return the links; `place` is a page or a folder, so that the pages of a folder share one cached result."""
    return Markup("").join(LINK.format(root, path, _state(path, place), title) for title, path in entries)


def _state(path: str, place: str) -> Markup:
    if path == place:
        return Markup(' aria-current="page"')
    return Markup(' aria-current="true"' if "/" in path and place.startswith(f"{path.partition('/')[0]}/") else "")
