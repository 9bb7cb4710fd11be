"""Rejection of runs whose test images occur among the images used for fitting, unless the user allows overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from petlir.benchmark.cell import Cell
from petlir.benchmark.cells.fitted_sets import Use, compared, uses
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.grid import restored
from petlir.benchmark.images.overlaps.compare import Overlap, SetComparison
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.weights.cards import Card


def overlaps_of(cell: Cell, plugins: Plugins, card: Card, root: Path | None) -> list[tuple[Use, Overlap]]:
    """Return the overlaps found by `comparisons_of`, without uncertain overlaps."""
    found = comparisons_of(cell, plugins, card, root)
    return [(use, one) for use, comparison in found for one in comparison.overlaps if one.shared != "maybe"]


def comparisons_of(cell: Cell, plugins: Plugins, card: Card, root: Path | None) -> list[tuple[Use, SetComparison]]:
    """Compare a cell's test sets with all image sets that its training, required cells and weights use.

    Raises:
        PetlirError: an image cannot be read.
    """
    names = dict.fromkeys(_tasks(cell, plugins))
    tasks = [plugins.task(name) for name in names]
    found = uses(tasks, cell.track, {cell.backbone: card})
    return compared(plugins.task(cell.task).on(cell.track).tests, found, root)


def _tasks(cell: Cell, plugins: Plugins) -> list[str]:
    """Return the cell's task and the tasks of the cells that it requires."""
    method = restored(plugins.method(cell.method), cell.options)
    return [cell.task, *(name for need in method.requires(cell) for name in _tasks(need, plugins))]


def refuse(cells: Sequence[Cell], plugins: Plugins, cards: Mapping[str, Card], root: Path | None) -> None:
    """Raise an error if test images of a cell occur in the sets to which the cell is fitted.

    Raises:
        PetlirError: a test image is in a set to which a cell is fitted; the message names the image, the set, and the
            option that allows overlaps.
    """
    for cell in cells:
        for use, overlap in overlaps_of(cell, plugins, cards[cell.backbone], root):
            if overlap.shared == "images":
                raise PetlirError(
                    f"task {cell.task}: {_first(use, overlap)}; expected test images that are not used for fitting; "
                    "with --allow-overlap, the run continues and its records note the overlap"
                )


def _first(use: Use, overlap: Overlap) -> str:
    if not overlap.found:
        return f"test set {overlap.test} overlaps with {use}: {overlap.statement}"
    first = overlap.found[0]
    others = f", and {overlap.images - 1} more" if overlap.images and overlap.images > 1 else ""
    return f"test image {overlap.test}/{first.image} is in {use} as {first.found_in} ({first.how}){others}"


def recorded(found: Sequence[tuple[Use, Overlap]]) -> list[dict[str, object]]:
    """Return the overlaps in the form in which records store them."""
    return [
        {
            "set": overlap.test,
            "holder": overlap.holder,
            "role": use.role,
            "shared": overlap.shared,
            "images": overlap.images,
        }
        for use, overlap in found
    ]
