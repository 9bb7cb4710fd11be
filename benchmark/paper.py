"""The work that a method or a backbone comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """Where a method or a backbone comes from.

    Attributes:
        title: as published.
        authors: first author et al., or all.
        venue: conference or journal with its year.
        bibtex: the entry to cite.
        licence: of the authors' code; empty where there is none.
    """

    title: str
    authors: str
    venue: str
    bibtex: str
    licence: str = ""
