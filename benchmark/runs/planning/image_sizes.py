"""Checks, before tuning and training, that the sizes of a task's images suit training, restoration and scoring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.devices import check_memory
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import DeepReader, size_of
from petlir.benchmark.images.used import Used, use
from petlir.benchmark.protocol import Protocol, protocol, protocols
from petlir.benchmark.restoration.restore import check
from petlir.benchmark.scoring.bands import check_size
from petlir.benchmark.scoring.fields_of_view import scored_as, tiling_of
from petlir.benchmark.task import Task

BYTES_PER_PIXEL = 200
"""The memory, in bytes per pixel, for scoring a whole test image in float64, on top of a forward pass's memory."""


@dataclass(frozen=True)
class SizedImage:
    """The size of a clean image after cropping to a multiple of the scale; `name` identifies the image in messages."""

    name: str
    width: int
    height: int


def check_images(
    task: Task, track: str, root: Path | None, network: Backbone, seen: Sequence[str], extra: str, patch: int | None
) -> None:
    """Check the sizes of a task's images; the sizes of a user's own pairs are read from file headers.

    Args:
        task: the task.
        track: the track.
        root: folder of image sets.
        network: the backbone, which determines the accepted sizes.
        seen: fields of view, see `petlir.benchmark.scoring.fields_of_view`.
        extra: comma-separated protocol ids in addition to the task's protocols.
        patch: side of a training crop in pixels of the degraded image; None if nothing is trained.

    Raises:
        PetlirError: an image is too small (for a training crop, for the network, or for SSIM's window after the border
            is cropped), or too large for the memory of this machine; the message names the first such image.
    """
    for part in task.parts or (task,):
        data = part.on(track)
        for image in _sized(part, data.training_sets if patch else (), root):
            if patch and min(image.width, image.height) // part.scale < patch:
                size = f"{image.width // part.scale}×{image.height // part.scale}"
                raise PetlirError(
                    f"training crops are {patch}×{patch}, but the training image {image.name} is only {size}"
                )
        names = (*part.protocols, *(rule.id for rule in protocols(extra)))
        own = [protocol(name) for name in scored_as(names, seen)]
        for image in _sized(part, data.tests, root):
            _check_test(image, part.scale, network, own)


def _check_test(image: SizedImage, scale: int, network: Backbone, rules: Sequence[Protocol]) -> None:
    check_memory(image.name, image.width * image.height * BYTES_PER_PIXEL)
    try:
        for rule in rules:
            check_size(image.width, image.height, rule)
            check(network, image.height // scale, image.width // scale, tiling_of(rule.seen)[0] or "default")
    except PetlirError as error:
        raise PetlirError(f"{image.name}: {error}") from None


def _sized(task: Task, names: Sequence[str], root: Path | None) -> Iterator[SizedImage]:
    for name in names:
        for label, (width, height) in _sizes(use(task, name, root)):
            yield SizedImage(label, width // task.scale * task.scale, height // task.scale * task.scale)


def _sizes(used: Used) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield name, width and height of each clean image."""
    readers = [entry.clean for entry in used.entries]
    own = [reader for reader in readers if isinstance(reader, DeepReader)]
    if len(own) == len(readers):
        yield from ((reader.where, size_of(reader.path)) for reader in own)
    else:
        for entry, image in zip(used.entries, used.clean.images, strict=True):
            yield f"{used.set.name}/{entry.name}", (image.shape[1], image.shape[0])
