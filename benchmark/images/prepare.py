"""From a task and a track to pairs of degraded and clean images: for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmark.degradation import Degradation, Image, seed_of
from benchmark.errors import PetlirError
from benchmark.images.catalogue import image_set
from benchmark.images.imageset import Sample, pixels_digest
from benchmark.task import Task

VALIDATION_SIDE = 96
"""Clean pixels; a multiple of every scale."""


@dataclass(frozen=True)
class Pair:
    """An image to restore and what it should become.

    Attributes:
        name: the file name without suffix.
        unit: the source scene.
        set: the name of the image set.
        domain: `procedural` or `photographs`.
        degraded: h×w×3 uint8.
        clean: sh×sw×3 uint8, s the task's scale.
    """

    name: str
    unit: str
    set: str
    domain: str
    degraded: Image
    clean: Image


def training_pairs(task: Task, track: str, root: Path | None) -> list[tuple[Image, Image]]:
    """Degraded and clean training images; without the noise of `fresh_noise`, which each crop draws anew.

    Raises:
        PetlirError: an image set cannot be read, or a training image is a test image of this task.
    """
    name = task.on(track).train
    samples = image_set(name).samples(root)
    _refuse_test_images(samples, name, task, track, root)
    return [_prepared(task, name, sample) for sample in samples]


def validation_pairs(task: Task, track: str, root: Path | None) -> list[Pair]:
    """Validation pairs, degraded as the test pairs are; of large images the middle alone, as it is looked at often.

    Raises:
        PetlirError: an image set cannot be read, or a validation image is a test image of this task.
    """
    name = task.on(track).validation
    samples = image_set(name).samples(root)
    _refuse_test_images(samples, name, task, track, root)
    return [_middle(_pair(task, name, sample), task.scale) for sample in samples]


def test_pairs(task: Task, track: str, root: Path | None) -> list[Pair]:
    """The pairs of all test sets, 8 bit; what is random has a seed of its own per (task, set, file name)."""
    names = task.on(track).tests
    return [_pair(task, name, sample) for name in names for sample in image_set(name).samples(root)]


def fresh_noise(task: Task, track: str) -> Degradation | None:
    """What a training crop is perturbed by; nothing where the training images are real pairs."""
    return None if image_set(task.on(track).train).paired else task.degradation


def _refuse_test_images(samples: list[Sample], name: str, task: Task, track: str, root: Path | None) -> None:
    tests = {
        pixels_digest(test.clean): f"{image_set(test_set).name}/{test.name}"
        for test_set in task.on(track).tests
        for test in image_set(test_set).samples(root)
    }
    for sample in samples:
        if (leaked := tests.get(pixels_digest(sample.clean))) is not None:
            raise PetlirError(
                f"task {task.name}: {image_set(name).name}/{sample.name} is the test image {leaked}; "
                "expected training and validation images that no test set holds"
            )


def _pair(task: Task, name: str, sample: Sample) -> Pair:
    clean, found = _cropped(sample.clean, task.scale), image_set(name)
    if sample.degraded is not None:
        degraded = sample.degraded
    else:
        degraded = _degradation(task, name).degrade(clean, seed_of(task.name, found.name, sample.name))
    return Pair(sample.name, sample.unit, found.name, found.domain, degraded, clean)


def _middle(pair: Pair, scale: int) -> Pair:
    """The middle of a pair, at most `VALIDATION_SIDE` clean pixels wide and high."""
    top, left = (max(0, side - VALIDATION_SIDE // scale) // 2 for side in pair.degraded.shape[:2])
    side = VALIDATION_SIDE // scale
    degraded = pair.degraded[top : top + side, left : left + side]
    clean = pair.clean[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    return replace(pair, degraded=degraded, clean=clean)


def _prepared(task: Task, name: str, sample: Sample) -> tuple[Image, Image]:
    clean = _cropped(sample.clean, task.scale)
    if sample.degraded is not None:
        return sample.degraded, clean
    rng = np.random.default_rng(seed_of(task.name, image_set(name).name, sample.name))
    return _degradation(task, name).prepare(clean, rng), clean


def _degradation(task: Task, name: str) -> Degradation:
    if task.degradation is None:
        raise PetlirError(f"task {task.name} has no degradation, but {name} holds clean images only; expected pairs")
    return task.degradation


def _cropped(image: Image, scale: int) -> Image:
    height, width = (side // scale * scale for side in image.shape[:2])
    return image[:height, :width]
