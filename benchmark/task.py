"""The contract of a task: a degradation with its image sets and scoring protocols. A task is plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from petlir.benchmark.errors import PetlirError, unknown

if TYPE_CHECKING:
    from petlir.benchmark.degradation import Degradation


IMAGES = "images"
"""The name of an option that every task has: the number of training images to use."""
FIRST = "first:"
"""`first:16:NAME` denotes a subset of 16 images of the set NAME; see `ImageSet.first`."""


@dataclass(frozen=True)
class Data:
    """The image sets of a task on one track, and the length of training.

    Attributes:
        train: an image set, or several joined by `+`, whose images are sampled with equal probability.
        validation: an image set that shares no scene with the training and test sets.
        tests: image sets to test on.
        label: a note for the column header if the training and test data are of different types, e.g.
            `synthetic streaks → Rain100L`.
        steps: optimiser steps; None for the track's default.
    """

    train: str
    validation: str
    tests: tuple[str, ...]
    label: str = ""
    steps: int | None = None

    @property
    def training_sets(self) -> tuple[str, ...]:
        """The names of the image sets to train on."""
        return tuple(self.train.split("+"))

    def of_first(self, count: int) -> Data:
        """Return the same data with `count` training images, split as evenly as possible over the joined sets."""
        each, over = divmod(count, len(self.training_sets))
        shares = [each + (place < over) for place in range(len(self.training_sets))]
        few = [f"{FIRST}{share}:{name}" for share, name in zip(shares, self.training_sets, strict=True) if share]
        return replace(self, train="+".join(few))


@dataclass(frozen=True)
class Task:
    """A restoration task.

    Attributes:
        name: the task's name in the grid, e.g. `hybrid_lr4_noise30`.
        title: the task's display name in reports.
        degradation: map from clean to degraded images; None if all image sets of the task are paired.
        protocols: scoring protocols; the first gives the headline score.
        data: the task's image sets by track.
        undo: for a hybrid task, the single tasks that restore its images if applied in this order, e.g.
            (`denoise_30`, `sr_x4`).
        scale: upscaling factor from the degraded to the clean image.
        parts: for a mixture, the tasks that it consists of: one network trains on the images of all parts, and is
            tested on each part separately.
        test_only: whether the task only serves to test methods that train on other tasks.
        variants: options for details on which papers differ. An option maps each of its values to the task attributes
            that this value sets; the first value is the default.
        chosen: the chosen value of each option whose value is not the default.
    """

    name: str
    title: str
    degradation: Degradation | None
    protocols: tuple[str, ...]
    data: Mapping[str, Data]
    undo: tuple[str, ...] = ()
    scale: int = 1
    parts: tuple[Task, ...] = ()
    test_only: bool = False
    variants: Mapping[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The task's name and the options that differ from the default, e.g. `hybrid_lr4_noise30[noise=truncated]`."""
        return self.name + _bracketed(self.chosen)

    @property
    def reserved(self) -> str | None:
        """The reason why training on this task is not allowed, or None if it is allowed."""
        return f"{self.name} is only for testing methods trained on other tasks" if self.test_only else None

    def varied(self, options: Mapping[str, str]) -> Task:
        """Return the task with these option values; every task has the option `images`.

        Raises:
            PetlirError: an option or a value is unknown; the message suggests the nearest name.
        """
        if IMAGES in options and IMAGES not in self.variants:
            others = {option: value for option, value in options.items() if option != IMAGES}
            return self.varied(others)._of_first(options[IMAGES])
        for option, value in options.items():
            if option not in self.variants:
                raise unknown(f"option of task {self.name}", option, [*self.variants, IMAGES])
            if value not in self.variants[option]:
                raise unknown(f"value of {self.name}[{option}]", value, self.variants[option])
        changes: dict[str, object] = {}
        chosen: dict[str, str] = {}
        for option, values in self.variants.items():
            value = options.get(option, next(iter(values)))
            changes |= values[value]
            if value != next(iter(values)):
                chosen[option] = value
        return replace(self, **{"title": self.title + _bracketed(chosen), **changes}, chosen=chosen)  # type: ignore[arg-type]

    def _of_first(self, count: str) -> Task:
        """Return the task with this number of training images; a mixture gets this number for each of its parts."""
        if not count.isdecimal() or int(count) < 1:
            raise PetlirError(f"{self.name}[{IMAGES}]={count!r}: expected a positive whole number of training images")
        chosen = {IMAGES: str(int(count))}
        return replace(
            self,
            title=self.title + _bracketed(chosen),
            data={track: data.of_first(int(count)) for track, data in self.data.items()},
            parts=tuple(part._of_first(count) for part in self.parts),
            chosen={**self.chosen, **chosen},
        )

    def on(self, track: str) -> Data:
        """Return the images of this task on `track`.

        The error message for an unknown track suggests the nearest track.
        """
        try:
            return self.data[track]
        except KeyError:
            raise unknown(f"track for task {self.label}", track, self.data) from None


def mixture(name: str, title: str, parts: tuple[Task, ...]) -> Task:
    """Return an all-in-one task: the union of tasks with the same scale, on the tracks that all of them support.

    Args:
        name: the task's name in the grid.
        title: the task's display name in reports.
        parts: the tasks of the union; each training crop is from one of these tasks, chosen with equal probability.
    """
    tracks = [track for track in parts[0].data if all(track in part.data for part in parts)]
    protocols = tuple(dict.fromkeys(protocol for part in parts for protocol in part.protocols))
    data = {track: _united([part.on(track) for part in parts]) for track in tracks}
    return Task(name, title, None, protocols, data, scale=parts[0].scale, parts=parts)


def _united(several: Sequence[Data]) -> Data:
    """Return the union of the data of several tasks, with the sum of their steps and the first validation set."""
    steps = [data.steps for data in several if data.steps is not None]
    return Data(
        "+".join(dict.fromkeys(name for data in several for name in data.training_sets)),
        several[0].validation,
        tuple(dict.fromkeys(name for data in several for name in data.tests)),
        "; ".join(dict.fromkeys(data.label for data in several if data.label)),
        sum(steps) if steps else None,
    )


def _bracketed(chosen: Mapping[str, str]) -> str:
    return f"[{'; '.join(f'{option}={value}' for option, value in chosen.items())}]" if chosen else ""


class Family(ABC):
    """Tasks that a user specifies with an argument, `NAME:ARGUMENT`, such as a folder of pairs.

    In a record, the name of a task with an argument is `NAME:` followed by a short suffix.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    argument: ClassVar[str]
    """Placeholder for the argument in lists of tasks, e.g. `DIR`."""

    def canonical(self, argument: str) -> str:
        """Return the argument in a form that is also valid in another process and working directory."""
        return argument

    @abstractmethod
    def open(self, argument: str) -> Task:
        """Return the task that a canonical argument specifies.

        Raises:
            PetlirError: the argument does not specify a task.
        """

    @abstractmethod
    def recall(self, name: str) -> Task:
        """Return the task that a record names, without its images; `name` is the record's suffix after `NAME:`."""
