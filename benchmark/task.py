"""The contract of a task: a degradation with its images and its protocols. A task is data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchmark.errors import unknown

if TYPE_CHECKING:
    from benchmark.degradation import Degradation


@dataclass(frozen=True)
class Data:
    """Where a task's images come from on one track: names of image sets."""

    train: str
    validation: str
    tests: tuple[str, ...]
    label: str = ""
    """What the column says where training and test data differ in kind, e.g. `synthetic streaks → Rain100L`."""


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
    """

    name: str
    title: str
    degradation: Degradation | None
    protocols: tuple[str, ...]
    data: Mapping[str, Data]
    undo: tuple[str, ...] = ()
    scale: int = 1

    def on(self, track: str) -> Data:
        """The images of this task on `track`; an unknown track is named with its neighbours."""
        try:
            return self.data[track]
        except KeyError:
            raise unknown(f"track for task {self.name}", track, self.data) from None


class Family(ABC):
    """Tasks that a user names with an argument, `NAME:ARGUMENT`, such as a folder of pairs.

    Their own names, which records hold, are `NAME:` and something short.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    argument: ClassVar[str]
    """What stands for the argument in a list, e.g. `DIR`."""

    def settle(self, argument: str) -> str:
        """The argument as another process in another folder has to get it."""
        return argument

    @abstractmethod
    def open(self, argument: str) -> Task:
        """The task of a settled argument.

        Raises:
            PetlirError: there is no task in it.
        """

    @abstractmethod
    def recall(self, name: str) -> Task:
        """The task of a record, by its own name without `NAME:`; its images are not at hand."""
