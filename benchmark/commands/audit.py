"""The audit of image sets for overlaps, and the lines that it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from petlir.benchmark import grid
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.fitted_sets import FittedSetComparison, audit
from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.images.overlaps.compare import Overlap
from petlir.benchmark.track import track
from petlir.benchmark.weights import loading
from petlir.benchmark.weights.cards import Card

MARKS = {"images": "LEAK", "scenes": "scenes", "maybe": "maybe"}


def lines_of(context: Context, tasks: str, on: str) -> list[FittedSetComparison]:
    """Return the audit of a selection of tasks on a track, and of the weights named by the user.

    Raises:
        PetlirError: a name or a folder is invalid, an image cannot be read, or there was nothing to compare.
    """
    if context.root is not None and not context.root.is_dir():
        raise PetlirError(f"the data folder {context.root} is missing; expected a folder of image sets")
    text, opened = context.opening(tasks)
    chosen = grid.tasks(text, opened.plugins.tasks, track(on).name)
    lines = list(audit(chosen, on, cards(opened), opened.root))
    if all(line.comparison.unsearched and not line.comparison.overlaps for line in lines):
        raise PetlirError(f"nothing could be searched: {lines[0].comparison.unsearched}")
    return lines


def cards(context: Context) -> Mapping[str, Card]:
    """Return the cards of the weights named by the user, by backbone."""
    found = {}
    for name in context.sources:
        with without_memory():
            network = context.plugins.build(name)
        found[name] = loading.load(network, sources=context.sources)
    return found


def unknown_pretraining(found: Mapping[str, Card]) -> Iterator[str]:
    """Yield a line for each backbone whose pre-training images are unknown."""
    for name, card in found.items():
        if card.sets is None:
            yield f"not searched: pre-training images of {name}: {card.images}"


def described(lines: Sequence[FittedSetComparison]) -> Iterator[str]:
    """Yield the lines that the audit prints."""
    for line in lines:
        beside = f"{line.comparison.test} against {line.use}"
        for overlap in line.comparison.overlaps:
            yield from _overlap(beside, overlap)
        if line.comparison.unsearched:
            yield f"not searched: {beside}: {line.comparison.unsearched}"
        elif not line.comparison.overlaps:
            yield f"{'ok':<7}{beside}"
    leaks = sum(line.leaks for line in lines)
    yield f"{counted(len(lines), 'pair')} of sets: {counted(leaks, 'leak')}"


def _overlap(beside: str, overlap: Overlap) -> Iterator[str]:
    source = f" ({overlap.source})" if overlap.source else ""
    yield f"{MARKS[overlap.shared]:<7}{beside}: {overlap.statement}{source}"
    for one in overlap.found:
        yield f"       {one.image} in {one.found_in}: {one.how}; similarity {one.likeness:.2f}"
