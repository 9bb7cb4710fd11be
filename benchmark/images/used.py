"""An image set as used by a task: decoded and degraded once, with a separate seed for each image."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from petlir.benchmark.degradation import Chain, Degradation, Degraded, Image, seed_of
from petlir.benchmark.degradations.jpeg import encoder
from petlir.benchmark.degradations.resize import beyond_bicubic
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.imageset import ImageEntry, ImageSet
from petlir.benchmark.images.mapped import Mapped, Pixels, decoded, key_of, mapped
from petlir.benchmark.revisions import table
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.task import Task

LIBRARIES = ("numpy", "scipy", "torch")
"""The libraries that compute degradations."""


@dataclass(frozen=True)
class Used:
    """An image set as used by a task.

    Attributes:
        task: the task.
        set: the image set.
        entries: the images of the set; if the task starts with bicubic downscaling, each entry includes the set's own
            downscaled image, if there is one.
    """

    task: Task
    set: ImageSet
    entries: Sequence[ImageEntry]

    @cached_property
    def clean(self) -> Mapped[Image]:
        """The clean images as they are in the set."""
        return decoded(self.set.name, [entry.clean for entry in self.entries])

    @cached_property
    def shipped(self) -> Mapped[Image] | None:
        """The set's own degraded (or merely downscaled) images, or None if the set contains only clean images.

        Raises:
            PetlirError: an image is missing, or its size does not match the clean image.
        """
        readers = [entry.degraded for entry in self.entries if entry.degraded is not None]
        if not readers:
            return None
        for entry in self.entries:
            if entry.degraded is None:
                raise PetlirError(f"{self.set.name} ships no degraded image of {entry.name}; expected all or none")
        found = decoded(f"{self.set.name}-shipped", readers)
        for entry, clean, degraded in zip(self.entries, self.clean.images, found.images, strict=True):
            entry.check(clean.shape, degraded.shape)
        return found

    @property
    def shrunk_by(self) -> str:
        """The origin of the downscaled images.

        The origin is `files` if the set contains downscaled images, or `MATLAB bicubic` if petlir downscales the clean
        images. The origin is empty if the set is paired or the task does not start with bicubic downscaling.
        """
        if self.set.paired or beyond_bicubic(self.task.degradation) is None:
            return ""
        return "files" if self.shipped else "MATLAB bicubic"

    @cached_property
    def cropped(self) -> list[Image]:
        """The clean images, cropped to a multiple of the scale."""
        return [_multiple(image, self.task.scale) for image in self.clean.images]

    def prepared(self, seed: int) -> Sequence[Image]:
        """Return the images that training crops are taken from, degraded except for the noise drawn for each crop.

        Images are returned unchanged if no step of the degradation needs whole images. Random degradations, such as
        rain and exposure, use `seed`, the seed of the cell, so that the variance over seeds includes the variance of
        training images.
        """
        start, left = self._start
        if not left.whole:
            return start
        return self._made("prepared", _prepared, seed if left.random else None).images

    def degraded(self, middle: int | None = None) -> Mapped[Image] | Mapped[Degraded]:
        """Return the degraded images or, given `middle`, their central crops of at most `middle`×`middle` pixels."""
        if self.set.paired and middle is None and self.shipped is not None:
            return self.shipped
        return self._made("degraded" if middle is None else f"degraded-{middle}", partial(_degraded, middle))

    @cached_property
    def _start(self) -> tuple[Sequence[Image], Degradation]:
        """The starting images, and the part of the degradation that still has to be applied to them."""
        if self.shipped is not None:
            left = None if self.set.paired else beyond_bicubic(self.task.degradation)
            return self.shipped.images, left or Degradation()
        if self.task.degradation is None:
            task, name = self.task.label, self.set.name
            raise PetlirError(f"task {task} has no degradation, but {name} holds clean images only; expected pairs")
        return self.cropped, self.task.degradation

    def _made(
        self, kind: str, make: Callable[[Degradation, Image, int], Pixels], seed: int | None = None
    ) -> Mapped[Pixels]:
        """Apply `make` to each starting image, with the remaining degradation and a seed per image."""
        start, left = self._start
        more = () if seed is None else (f"seed {seed}",)
        seeds = [seed_of(self.task.name, self.set.name, entry.name, *more) for entry in self.entries]
        digests = (self.shipped or self.clean).digests
        key = key_of(kind, repr(left), _code(left), self.task.scale, seeds, digests)
        name = f"{self.set.name}-{self.task.name}-{kind}"
        return mapped(name, key, [partial(make, left, image, seed) for image, seed in zip(start, seeds, strict=True)])


def use(task: Task, name: str, root: Path | None) -> Used:
    """Return the image set with this name as used by `task`, without decoding the images.

    Raises:
        PetlirError: the set is unknown, missing or incomplete.
    """
    found = image_set(name)
    shrinks = not found.paired and beyond_bicubic(task.degradation) is not None
    return Used(task, found, found.index(root, task.scale if shrinks else 1))


def middle_of(image: Pixels, side: int, scale: int = 1) -> Pixels:
    """Return the central crop of an image; the crop's width and height are at most `side` × `scale` pixels."""
    top, left = (max(0, length // scale - side) // 2 * scale for length in image.shape[:2])
    return image[top : top + side * scale, left : left + side * scale]  # type: ignore[return-value]  # same dtype


def _prepared(degradation: Degradation, image: Image, seed: int) -> Image:
    return degradation.prepare(image, np.random.default_rng(seed))


def _degraded(middle: int | None, degradation: Degradation, image: Image, seed: int) -> Degraded:
    degraded = degradation.degrade(image, seed)
    return degraded if middle is None else middle_of(degraded, middle)


def _multiple(image: Image, scale: int) -> Image:
    height, width = (side // scale * scale for side in image.shape[:2])
    return image[:height, :width]


def _code(degradation: Degradation) -> str:
    """Return a digest of the revisions of a degradation's source files and the versions of its libraries."""
    steps = degradation.steps if isinstance(degradation, Chain) else (degradation,)
    files = {Path(inspect.getfile(Degradation))}.union(*(built_on(Path(inspect.getfile(type(s)))) for s in steps))
    return key_of(table.components(files), encoder(), [version(name) for name in LIBRARIES])
