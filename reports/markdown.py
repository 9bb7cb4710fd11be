"""Markdown tables for exports and documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MARKUP = "\\`*_[]|<>"


def escaped(text: str) -> str:
    """Return the text with all markup characters escaped, including column borders."""
    return "".join(f"\\{letter}" if letter in MARKUP else letter for letter in text)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a Markdown table; the texts of its cells must already be Markdown.

    Args:
        heads: headings of the columns.
        rows: rows with a cell for each heading.
        words: number of leading columns that hold text; the other columns hold numbers and are right-aligned.
    """
    rule = ["---" if place < words else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))
