"""The audit of tasks: their test images in the sets that a result on them depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from petlir.benchmark.images.overlaps.compare import Comparison, Overlap, compare
from petlir.benchmark.task import Task
from petlir.benchmark.weights.cards import Card

SELECTION = "selection"
"""The role of a training set beside a validation set: what is chosen on trained images is chosen badly."""


@dataclass(frozen=True)
class Use:
    """An image set that results depend on.

    Attributes:
        role: `training`, `validation`, `pre-training`, or `selection`.
        name: of the image set.
        backbone: whose pre-training it was; empty otherwise.
    """

    role: str
    name: str
    backbone: str = ""

    def __str__(self) -> str:
        of = f" of {self.backbone}" if self.backbone else ""
        return f"{self.name} ({self.role}{of})"


@dataclass(frozen=True)
class Line:
    """A held-out set beside a set that results depend on.

    Attributes:
        tasks: names of the tasks that have both.
        use: the set that results depend on.
        comparison: what the two share.
    """

    tasks: tuple[str, ...]
    use: Use
    comparison: Comparison

    @property
    def leaks(self) -> bool:
        """Whether held-out images are known to be in the other set."""
        return any(overlap.shared == "images" for overlap in self.comparison.overlaps)

    def to_dict(self) -> dict[str, object]:
        """The line as JSON holds it."""
        return {"tasks": list(self.tasks), **asdict(self.use), **asdict(self.comparison)}


def audit(tasks: Sequence[Task], track: str, cards: Mapping[str, Card], root: Path | None) -> Iterator[Line]:
    """A line for each held-out set and each set that a result on it depends on.

    Args:
        tasks: those to look at.
        track: `demo`, `open` or `paper`.
        cards: of the weights, by backbone.
        root: the data folder.

    Raises:
        PetlirError: a task has no such track, or an image cannot be read.
    """
    pairs: dict[tuple[str, Use], list[str]] = {}
    for task in tasks:
        data = task.on(track)
        selection = [(data.validation, Use(SELECTION, name)) for name in task.on(track).training_sets]
        tests = [(test, use) for test in data.tests for use in uses([task], track, cards)]
        for pair in (*tests, *selection):
            pairs.setdefault(pair, []).append(task.label)
    for (held_out, use), names in pairs.items():
        yield Line(tuple(names), use, compare(held_out, use.name, root))


def uses(tasks: Sequence[Task], track: str, cards: Mapping[str, Card]) -> list[Use]:
    """The sets that the result of one who trains on these tasks depends on, each once."""
    found = [Use("training", name) for task in tasks for name in task.on(track).training_sets]
    found += [Use("validation", task.on(track).validation) for task in tasks]
    found += [Use("pre-training", name, backbone) for backbone, card in cards.items() for name in card.sets or ()]
    return list(dict.fromkeys(found))


def shared(tests: Sequence[str], found: Sequence[Use], root: Path | None) -> list[tuple[Use, Overlap]]:
    """What the test sets share with the sets that a result depends on; what only may be is left out.

    Raises:
        PetlirError: an image cannot be read.
    """
    return [
        (use, overlap)
        for test in tests
        for use in found
        for overlap in _compared(test, use.name, root).overlaps
        if overlap.shared != "maybe"
    ]


@lru_cache(maxsize=256)
def _compared(test: str, holder: str, root: Path | None) -> Comparison:
    """A grid has many cells on the same few sets."""
    return compare(test, holder, root)
