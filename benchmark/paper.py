"""Citations of methods and backbones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """The paper that a method or a backbone comes from.

    Attributes:
        title: as published.
        authors: first author et al., or all.
        venue: conference or journal with its year.
        bibtex: BibTeX entry.
        licence: licence of the authors' code; empty if no code or licence exists.
    """

    title: str
    authors: str
    venue: str
    bibtex: str
    licence: str = ""
