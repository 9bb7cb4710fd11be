"""The style of lines in the plots: a hue by name, or by method with a dash by size."""

from __future__ import annotations

from collections.abc import Sequence

from petlir.benchmark.records.schema import Record
from petlir.reports.tables import kind_of

HUES = 6
"""Colours of the plots; further methods get them again, dashed otherwise."""
DASHES = 4


def hues(names: Sequence[str]) -> dict[str, str]:
    """A colour of the style sheet for each name, further ones dashed."""
    return {name: f"hue-{place % HUES} dash-{place // HUES}" for place, name in enumerate(names)}


def classes(records: Sequence[Record]) -> dict[str, str]:
    """The style classes of each trained label, the same in every plot."""
    kinds = {record.cell.label: kind_of(record) for record in records}
    methods = {record.cell.label: record.cell.method for record in records}
    petl = sorted(label for label, kind in kinds.items() if kind == "petl")
    order = sorted({methods[label] for label in petl})
    references = sorted(label for label, kind in kinds.items() if kind == "reference")
    found = {label: f"hue-full dash-{place}" if place else "hue-full" for place, label in enumerate(references)}
    for index, method in enumerate(order):
        for dash, label in enumerate((label for label in petl if methods[label] == method), start=index // HUES):
            found[label] = f"hue-{index % HUES} dash-{dash % DASHES}"
    return found
