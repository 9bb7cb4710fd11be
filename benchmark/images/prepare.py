"""Prepare the degraded and clean images of a task on a track: for training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from petlir.benchmark.degradation import Degradation, Degraded, Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.digests import digest_of
from petlir.benchmark.images.used import Used, middle_of, use
from petlir.benchmark.task import Task

VALIDATION_SIDE = 96
"""The maximum side length of clean validation images in pixels; a multiple of every scale."""


@dataclass(frozen=True)
class ImagePair:
    """A degraded image and its clean target.

    Attributes:
        name: name of the image in its set, usually the file name without suffix.
        unit: the source scene.
        set: name of the image set.
        domain: `procedural` or `photographs`.
        degraded: h×w×3 uint8, or float32 if the task stores its noise as floats.
        clean: sh×sw×3 uint8, where s is the task's scale.
        protocols: ids of the protocols that score the pair; empty if all protocols of the task score it.
        input_scores: protocol id → scores of the degraded image, cached by the first cell that needs them.
    """

    name: str
    unit: str
    set: str
    domain: str
    degraded: Degraded
    clean: Image
    protocols: tuple[str, ...] = ()
    input_scores: dict[str, dict[str, float]] = field(default_factory=dict, repr=False, compare=False)


def training_pairs(
    task: Task, track: str, root: Path | None, allow_overlap: bool = False, *, seed: int = 0
) -> list[tuple[Image, Image]]:
    """Return degraded and clean training images, without the noise that `fresh_noise` adds anew to each crop.

    Args:
        task: the task.
        track: the track.
        root: the data folder, which contains the image sets.
        allow_overlap: whether test images may be among the training images.
        seed: seed of the cell, from which rain, exposure and camera noise are drawn.

    Raises:
        PetlirError: an image set cannot be read, or a training image is also a test image of the task although
            `allow_overlap` is False.
    """
    sets = [use(task, name, root) for name in task.on(track).training_sets]
    for one in () if allow_overlap else sets:
        _refuse_test_images(one, track, root)
    return [pair for one in sets for pair in zip(one.prepared(seed), one.cropped, strict=True)]


def validation_pairs(task: Task, track: str, root: Path | None, allow_overlap: bool = False) -> list[ImagePair]:
    """Return validation pairs, degraded like test pairs; large images are cropped to their centre to limit the cost.

    Raises:
        PetlirError: an image set cannot be read, or a validation image is also a test image of the task although
            `allow_overlap` is False.
    """
    if task.parts:
        return _by_part(task, lambda part: validation_pairs(part, track, root, allow_overlap))
    found = use(task, task.on(track).validation, root)
    if not allow_overlap:
        _refuse_test_images(found, track, root)
    return _pairs(found, VALIDATION_SIDE // task.scale)


def test_pairs(task: Task, track: str, root: Path | None) -> list[ImagePair]:
    """Return the pairs of all test sets; random degradations use one seed per task, set and file name."""
    if task.parts:
        return _by_part(task, lambda part: test_pairs(part, track, root))
    return [pair for name in task.on(track).tests for pair in _pairs(use(task, name, root))]


def data_digest(task: Task, track: str, root: Path | None) -> str:
    """Return the SHA-256 over all images of a task.

    The digest covers the images of the task's sets, the sets' own downscaled images if the task uses them, and the
    degraded test images.

    Raises:
        PetlirError: a set is missing or incomplete, or differs from the catalogue.
    """
    if task.parts:
        return hashlib.sha256("\n".join(data_digest(part, track, root) for part in task.parts).encode()).hexdigest()
    data = task.on(track)
    sets = [use(task, name, root) for name in (*data.training_sets, data.validation, *data.tests)]
    parts = [digest_of(one.set, root) for one in sets]
    parts += [digest for one in sets if one.shrunk_by == "files" and one.shipped for digest in one.shipped.digests]
    parts += [digest for one in sets[-len(data.tests) :] for digest in one.degraded().digests]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def shrunk_by_files(task: Task, track: str, root: Path | None) -> list[str]:
    """Return the image sets whose own downscaled images are used instead of downscaling by MATLAB's bicubic filter."""
    if task.parts:
        return list(dict.fromkeys(name for part in task.parts for name in shrunk_by_files(part, track, root)))
    data = task.on(track)
    names = dict.fromkeys((*data.training_sets, data.validation, *data.tests))
    sets = (use(task, name, root) for name in names)
    return [one.set.name for one in sets if one.shrunk_by == "files"]


def fresh_noise(task: Task, track: str) -> Degradation | None:
    """Return the degradation that adds fresh noise to training crops, or None if the training images are real pairs."""
    paired = {image_set(name).paired for name in task.on(track).training_sets}
    if len(paired) > 1:
        sets = task.on(track).train
        raise PetlirError(
            f"task {task.label} trains on {sets}, which mix pairs with clean images; expected only one of the two"
        )
    return None if paired == {True} else task.degradation


def _refuse_test_images(found: Used, track: str, root: Path | None) -> None:
    task = found.task
    tests = {
        digest: f"{held_out.set.name}/{entry.name}"
        for held_out in (use(task, name, root) for name in task.on(track).tests)
        for entry, digest in zip(held_out.entries, held_out.clean.digests, strict=True)
    }
    for entry, digest in zip(found.entries, found.clean.digests, strict=True):
        if (leaked := tests.get(digest)) is not None:
            raise PetlirError(
                f"task {task.label}: {found.set.name}/{entry.name} is the test image {leaked}; "
                "expected training and validation images that are in no test set"
            )


def _by_part(task: Task, pairs: Callable[[Task], list[ImagePair]]) -> list[ImagePair]:
    """Return the pairs of each part of a mixed task, with sets named PART/SET and the part's own protocols."""
    return [
        replace(pair, set=f"{part.name}/{pair.set}", protocols=part.protocols)
        for part in task.parts
        for pair in pairs(part)
    ]


def _pairs(found: Used, middle: int | None = None) -> list[ImagePair]:
    degraded, clean = found.degraded(middle).images, found.cropped
    if middle is not None:
        clean = [middle_of(image, middle, found.task.scale) for image in clean]
    return [
        ImagePair(entry.name, entry.unit, found.set.name, found.set.domain, one, whole)
        for entry, one, whole in zip(found.entries, degraded, clean, strict=True)
    ]
