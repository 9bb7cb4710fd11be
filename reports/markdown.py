"""Tables in Markdown, for exports and documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MARKUP = "\\`*_[]|<>"


def escaped(text: str) -> str:
    """Return the text without markup: it can hold neither a column border nor emphasis of its own."""
    return "".join(f"\\{letter}" if letter in MARKUP else letter for letter in text)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a table of cells that are Markdown already.

    Args:
        heads: of the columns.
        rows: as many cells each as there are heads.
        words: how many of the first columns hold words; the others hold numbers and are aligned to the right.
    """
    rule = ["---" if place < words else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))
