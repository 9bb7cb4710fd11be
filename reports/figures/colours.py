"""Line styles of the plots: a hue for each name, or a hue for each method and a dash pattern for each of its sizes."""

from __future__ import annotations

from collections.abc import Sequence

from petlir.benchmark.records.schema import Record
from petlir.reports.tables import kind_of

HUES = 6
"""The number of colours in a plot; further methods reuse the colours with other dash patterns."""
DASHES = 4


def hues(names: Sequence[str]) -> dict[str, str]:
    """Return the CSS classes of each name: a hue and a dash pattern."""
    return {name: f"hue-{place % HUES} dash-{place // HUES}" for place, name in enumerate(names)}


def classes(records: Sequence[Record]) -> dict[str, str]:
    """Return the CSS classes of each trained method's label; a label has the same classes in every plot."""
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
