"""BibTeX entries of the methods, image sets and backbones used in a store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set, names
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.records.schema import Record
from petlir.benchmark.weights.sources import network_of
from petlir.reports.frame import load


def bibliography(store: Path, plugins: Plugins) -> str:
    """Return the BibTeX entries for a store, without duplicates, sorted by key.

    Raises:
        PetlirError: the store holds no finished cell.
    """
    records = [record for record in load(store) if record.state == "done"]
    if not records:
        raise PetlirError(f"store {store} holds no finished cell; run `petlir run --store {store}` first")
    entries = {_key(entry): entry.strip() for entry in _entries(records, plugins)}
    return "\n\n".join(entries[key] for key in sorted(entries)) + "\n"


def _entries(records: Iterable[Record], plugins: Plugins) -> Iterator[str]:
    cells = [record.cell for record in records]
    for name in {cell.method for cell in cells} & plugins.methods.keys():
        paper = plugins.methods[name].paper
        if paper is not None and paper.bibtex:
            yield paper.bibtex
    for name in {network_of(cell.backbone) for cell in cells} & plugins.backbones.keys():
        with without_memory(), suppress(PetlirError):  # a network whose optional packages are missing cannot be built
            if (paper := plugins.build(name).paper) is not None:
                yield paper.bibtex
    for name in {table.set.rpartition("/")[2] for record in records for table in record.scores} & set(names()):
        yield image_set(name).bibtex or _misc(name, image_set(name).citation)


def _misc(name: str, citation: str) -> str:
    """Return an entry for an image set whose citation is plain text."""
    words = citation.replace("{", "").replace("}", "")
    return f"@misc{{{re.sub('[^A-Za-z0-9]', '', name).lower()}-images,\n  title = {{{name}}},\n  note = {{{words}}}\n}}"


def _key(entry: str) -> str:
    found = re.match(r"\s*@\w+\{\s*([^,\s]+)", entry)
    return found[1] if found else entry
