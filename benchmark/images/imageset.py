"""The contract of an image set: images under a name, where they come from and what may be done with them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.degradation import Image


@dataclass(frozen=True)
class Sample:
    """One image of a set.

    Attributes:
        name: the clean image's file name without suffix.
        unit: the source scene; images that share one are not independent of each other.
        clean: H×W×3 uint8.
        degraded: the same size; None where the set is of clean images only.
    """

    name: str
    unit: str
    clean: Image
    degraded: Image | None = None


Load = Callable[[Path | None], list[Sample]]
"""Reads a set's images below the data folder; None is no data folder, which bundled sets need not."""


@dataclass(frozen=True)
class ImageSet:
    """A set of images.

    Attributes:
        name: what tasks call it.
        title: its name on a page.
        domain: `procedural` or `photographs`; the two are never averaged.
        licence: what its makers allow, or that they do not say.
        citation: the work to cite.
        source: where to get it.
        paired: whether it holds degraded images of its own.
        load: reads it.
    """

    name: str
    title: str
    domain: Literal["procedural", "photographs"]
    licence: str
    citation: str
    source: str
    paired: bool
    load: Load

    def samples(self, root: Path | None) -> list[Sample]:
        """All images, in the order of names; `root` is the folder that PETLIR_DATA names.

        Raises:
            PetlirError: the folder is missing or empty, or an image or a pair is not as expected.
        """
        return self.load(root)

    def digest(self, root: Path | None) -> str:
        """SHA-256 over names and pixels of all images."""
        return digest(self.samples(root))


def digest(samples: Iterable[Sample]) -> str:
    """SHA-256 over names and pixels, in the order given."""
    total = hashlib.sha256()
    for sample in samples:
        total.update(sample.name.encode() + b"\0" + pixels_digest(sample.clean).encode())
        if sample.degraded is not None:
            total.update(pixels_digest(sample.degraded).encode())
    return total.hexdigest()


def pixels_digest(image: Image) -> str:
    """SHA-256 over the size and the pixels of one image."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()
