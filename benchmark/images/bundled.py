"""The image sets included in the installation: dead-leaves images, and photographs from scikit-image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

from petlir.benchmark.degradation import Image
from petlir.benchmark.degradations import resize
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import procedural
from petlir.benchmark.images.imageset import ImageEntry
from petlir.benchmark.revisions import table

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
"""The colour photographs in scikit-image's wheel that are in the public domain or CC0."""
CROP = 192
DRAWN = 256


@dataclass(frozen=True)
class Drawn:
    """A dead-leaves image that is drawn on demand; see `petlir.benchmark.images.imageset.Reader`.

    Attributes:
        seed: seed from which the image is drawn.
        size: side length of the centre crop in pixels; leaf sizes are relative to the uncropped image.
    """

    seed: int
    size: int

    @property
    def where(self) -> str:
        """The name of the image."""
        return f"leaves-{self.seed}"

    @property
    def stamp(self) -> str:
        """A text that changes with the code that draws the image."""
        return f"{self.where} {self.size} of {DRAWN} {_code_of(procedural)}"

    def __call__(self) -> Image:
        """Draw the image."""
        margin = (DRAWN - self.size) // 2
        image = procedural.leaves(self.seed, DRAWN)
        return np.ascontiguousarray(image[margin : margin + self.size, margin : margin + self.size])


@dataclass(frozen=True)
class Leaves:
    """A set of dead-leaves images.

    Attributes:
        start: seed of the first image; each further image uses the next integer as its seed.
        count: number of images.
        size: side length of an image in pixels.
    """

    start: int
    count: int
    size: int

    def first(self, count: int) -> Leaves:
        """Return the set with its first `count` images; `count` may exceed the set's current number of images."""
        if count > SEEDS:
            raise PetlirError(f"{count} dead-leaves images were requested; expected at most {SEEDS}")
        return replace(self, count=count)

    def __call__(self, root: Path | None = None, scale: int = 1) -> list[ImageEntry]:
        """Return the images' entries; each image is a separate scene. The arguments `root` and `scale` are not used."""
        drawn = [Drawn(seed, self.size) for seed in range(self.start, self.start + self.count)]
        return [ImageEntry(image.where, image.where, image) for image in drawn]


SEEDS = 1000
"""The distance between the seeds at which two parts start, and therefore the maximum number of images in a part."""
LEAVES = {"train": Leaves(2000, 64, 256), "validation": Leaves(3000, 12, 84), "test": Leaves(4000, 32, 48)}


@dataclass(frozen=True)
class BundledPhotograph:
    """A photograph from scikit-image, read on demand; large photographs are halved in size before they are cropped."""

    where: str

    @property
    def stamp(self) -> str:
        """A text that changes with the version of scikit-image and with the resizing code."""
        return f"{self.where} {CROP} {version('scikit-image')} {_code_of(resize)}"

    def __call__(self) -> Image:
        """Return the image, 192×192×3."""
        from skimage import data

        photograph: Image = getattr(data, self.where)()
        image = resize.imresize(photograph, 1 / 2) if min(photograph.shape[:2]) >= 2 * CROP else photograph
        top, left = ((side - CROP) // 2 for side in image.shape[:2])
        return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])


def photographs(root: Path | None = None, scale: int = 1) -> list[ImageEntry]:
    """Return four photographs, each of a separate scene; the arguments are not used."""
    return [ImageEntry(name, name, BundledPhotograph(name)) for name in PHOTOGRAPHS]


def _code_of(module: ModuleType) -> str:
    """Return the revision of a module's code."""
    return table.component(Path(str(module.__file__)))
