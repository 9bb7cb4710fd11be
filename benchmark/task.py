"""The contract of a task: a degradation with its images and its protocols. A task is data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from petlir.benchmark.errors import PetlirError, unknown

if TYPE_CHECKING:
    from petlir.benchmark.degradation import Degradation


IMAGES = "images"
"""The option that every task has: on how many of its training images it trains."""
FIRST = "first:"
"""`first:16:NAME` are 16 images of the set NAME; see `ImageSet.first`."""


@dataclass(frozen=True)
class Data:
    """Where a task's images come from on one track, and how long it trains on them.

    Attributes:
        train: an image set, or several joined by `+`, of which every image is as likely.
        validation: an image set that shares no scene with the others.
        tests: image sets.
        label: what the column says where training and test data differ in kind, e.g. `synthetic streaks → Rain100L`.
        steps: optimiser steps; None for the track's.
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
        """The same with `count` training images, of joined sets as many of each as can be."""
        each, over = divmod(count, len(self.training_sets))
        shares = [each + (place < over) for place in range(len(self.training_sets))]
        few = [f"{FIRST}{share}:{name}" for share, name in zip(shares, self.training_sets, strict=True) if share]
        return replace(self, train="+".join(few))


@dataclass(frozen=True)
class Task:
    """A degradation to be undone.

    Attributes:
        name: its name in the grid, e.g. `hybrid_lr4_noise30`.
        title: its name on a page.
        degradation: clean to degraded; None where all its image sets are paired.
        protocols: how restored images are scored; the first is the headline.
        data: its images by track.
        undo: the single tasks that, one after the other, undo a hybrid one, e.g. (`denoise_30`, `sr_x4`).
        scale: how many times larger the clean image is.
        parts: of a mixture the tasks whose images it trains on together, and is tested on one by one.
        test_only: whether it is there for methods that train on other tasks alone.
        variants: what papers differ in, as options: each names its values and, for each value, the attributes of the
            task that change; the first value is the default.
        chosen: the values that are not the default, by option.
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
    variants: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name with the values that are not the default, e.g. `hybrid_lr4_noise30[noise=truncated]`."""
        return self.name + _bracketed(self.chosen)

    @property
    def reserved(self) -> str | None:
        """Why nothing may be trained on it, or None where it may."""
        return f"{self.name} is there to test what was trained on other tasks" if self.test_only else None

    def varied(self, options: Mapping[str, str]) -> Task:
        """The task with these values of its options; `images` is one of every task.

        Raises:
            PetlirError: it has no such option, or the option no such value; names the nearest.
        """
        if IMAGES in options and IMAGES not in self.variants:
            others = {option: value for option, value in options.items() if option != IMAGES}
            return self.varied(others)._of_first(options[IMAGES])
        for option, value in options.items():
            if option not in self.variants:
                raise unknown(f"option of task {self.name}", option, [*self.variants, IMAGES])
            if value not in self.variants[option]:
                raise unknown(f"value of {self.name}[{option}]", value, self.variants[option])
        changes: dict[str, Any] = {}
        chosen: dict[str, str] = {}
        for option, values in self.variants.items():
            value = options.get(option, next(iter(values)))
            changes |= values[value]
            if value != next(iter(values)):
                chosen[option] = value
        return replace(self, **{"title": self.title + _bracketed(chosen), **changes}, chosen=chosen)

    def _of_first(self, count: str) -> Task:
        """The task with so many training images; of a mixture each part."""
        if not count.isdecimal() or int(count) < 1:
            raise PetlirError(f"{self.name}[{IMAGES}]={count!r}: expected a whole number of training images from 1 on")
        chosen = {IMAGES: str(int(count))}
        return replace(
            self,
            title=self.title + _bracketed(chosen),
            data={track: data.of_first(int(count)) for track, data in self.data.items()},
            parts=tuple(part._of_first(count) for part in self.parts),
            chosen={**self.chosen, **chosen},
        )

    def on(self, track: str) -> Data:
        """The images of this task on `track`; an unknown track is named with its neighbours."""
        try:
            return self.data[track]
        except KeyError:
            raise unknown(f"track for task {self.label}", track, self.data) from None


def mixture(name: str, title: str, parts: tuple[Task, ...]) -> Task:
    """All in one: a task that is the union of others of one scale, on the tracks that all of them have.

    Args:
        name: its name in the grid.
        title: its name on a page.
        parts: the tasks; a training crop is as likely of each.
    """
    tracks = [track for track in parts[0].data if all(track in part.data for part in parts)]
    protocols = tuple(dict.fromkeys(protocol for part in parts for protocol in part.protocols))
    data = {track: _united([part.on(track) for part in parts]) for track in tracks}
    return Task(name, title, None, protocols, data, scale=parts[0].scale, parts=parts)


def _united(several: Sequence[Data]) -> Data:
    """The sets of all; as many steps as all of them together."""
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
    """Tasks that a user names with an argument, `NAME:ARGUMENT`, such as a folder of pairs.

    Their own names, which records hold, are `NAME:` and something short.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    argument: ClassVar[str]
    """What stands for the argument in a list, e.g. `DIR`."""

    def canonical(self, argument: str) -> str:
        """The argument as another process in another folder has to get it."""
        return argument

    @abstractmethod
    def open(self, argument: str) -> Task:
        """The task of a canonical argument.

        Raises:
            PetlirError: there is no task in it.
        """

    @abstractmethod
    def recall(self, name: str) -> Task:
        """The task of a record, by its own name without `NAME:`; its images are not at hand."""
