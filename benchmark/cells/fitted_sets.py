"""The overlap audit of tasks, which searches for the tasks' test images in the sets on which results depend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from petlir.benchmark.images.overlaps.compare import SetComparison, compare
from petlir.benchmark.task import Task
from petlir.benchmark.weights.cards import Card

SELECTION = "selection"
"""The role of a training set that is compared with a validation set: rates selected on training images would be
biased."""


@dataclass(frozen=True)
class Use:
    """An image set on which results depend.

    Attributes:
        role: the use of the image set: `training`, `validation`, `pre-training`, or `selection`.
        name: name of the image set.
        backbone: the backbone that was pre-trained on the image set; empty unless the role is `pre-training`.
    """

    role: str
    name: str
    backbone: str = ""

    def __str__(self) -> str:
        of = f" of {self.backbone}" if self.backbone else ""
        return f"{self.name} ({self.role}{of})"


@dataclass(frozen=True)
class FittedSetComparison:
    """A comparison of a held-out image set with an image set on which results depend.

    Attributes:
        tasks: names of the tasks that use both of the compared image sets.
        use: the image set on which results depend.
        comparison: the overlaps between the held-out set and the set on which results depend.
    """

    tasks: tuple[str, ...]
    use: Use
    comparison: SetComparison

    @property
    def leaks(self) -> bool:
        """Return whether the set on which results depend is known to contain held-out images."""
        return any(overlap.shared == "images" for overlap in self.comparison.overlaps)

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as a JSON object."""
        return {"tasks": list(self.tasks), **asdict(self.use), **asdict(self.comparison)}


def audit(
    tasks: Sequence[Task], track: str, cards: Mapping[str, Card], root: Path | None
) -> Iterator[FittedSetComparison]:
    """Yield a comparison of each held-out set with each image set that influences the results on the held-out set.

    Args:
        tasks: the tasks to audit.
        track: the name of the track: `demo`, `open` or `paper`.
        cards: cards of the pre-trained weights, by backbone name.
        root: the folder of image sets.

    Raises:
        PetlirError: a task has no data for the track, or an image cannot be read.
    """
    pairs: dict[tuple[str, Use], list[str]] = {}
    for task in tasks:
        data = task.on(track)
        selection = [(data.validation, Use(SELECTION, name)) for name in task.on(track).training_sets]
        tests = [(test, use) for test in data.tests for use in uses([task], track, cards)]
        for pair in (*tests, *selection):
            pairs.setdefault(pair, []).append(task.label)
    for (held_out, use), names in pairs.items():
        yield FittedSetComparison(tuple(names), use, compare(held_out, use.name, root))


def uses(tasks: Sequence[Task], track: str, cards: Mapping[str, Card]) -> list[Use]:
    """Return, without duplicates, the image sets on which the results of models trained on these tasks depend."""
    found = [Use("training", name) for task in tasks for name in task.on(track).training_sets]
    found += [Use("validation", task.on(track).validation) for task in tasks]
    found += [Use("pre-training", name, backbone) for backbone, card in cards.items() for name in card.sets or ()]
    return list(dict.fromkeys(found))


def compared(tests: Sequence[str], found: Sequence[Use], root: Path | None) -> list[tuple[Use, SetComparison]]:
    """Return the comparisons of the test sets with the sets on which a result depends.

    Raises:
        PetlirError: an image cannot be read.
    """
    return [(use, _compared(test, use.name, root)) for test in tests for use in found]


@lru_cache(maxsize=256)
def _compared(test: str, holder: str, root: Path | None) -> SetComparison:
    """Compare two image sets; comparisons are cached, because the many cells of a grid share a few sets."""
    return compare(test, holder, root)
