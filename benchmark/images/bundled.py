"""The sets that come with the install: dead-leaves images, and the photographs that scikit-image carries."""

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
from petlir.benchmark.images.imageset import Entry
from petlir.benchmark.revisions import table

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
"""The colour photographs in scikit-image's wheel that are in the public domain or CC0."""
CROP = 192
DRAWN = 256


@dataclass(frozen=True)
class Drawn:
    """A dead-leaves image that has not been drawn yet; see `petlir.benchmark.images.imageset.Reader`.

    Attributes:
        seed: its seed.
        size: its side in pixels, cut from the middle: a leaf's size is a share of the image it was drawn for.
    """

    seed: int
    size: int

    @property
    def where(self) -> str:
        """Its name."""
        return f"leaves-{self.seed}"

    @property
    def stamp(self) -> str:
        """Changes with the code that draws."""
        return f"{self.where} {self.size} of {DRAWN} {_code_of(procedural)}"

    def __call__(self) -> Image:
        """The image."""
        margin = (DRAWN - self.size) // 2
        image = procedural.leaves(self.seed, DRAWN)
        return np.ascontiguousarray(image[margin : margin + self.size, margin : margin + self.size])


@dataclass(frozen=True)
class Leaves:
    """Dead-leaves images.

    Attributes:
        start: the seed of the first image; the others follow.
        count: how many.
        size: their side in pixels.
    """

    start: int
    count: int
    size: int

    def first(self, count: int) -> Leaves:
        """The first `count` of them, or more than there are here."""
        if count > SEEDS:
            raise PetlirError(f"{count} dead-leaves images were asked for; expected at most {SEEDS}")
        return replace(self, count=count)

    def __call__(self, root: Path | None = None, scale: int = 1) -> list[Entry]:
        """The images; each is a scene of its own. `root` and `scale` are not used."""
        drawn = [Drawn(seed, self.size) for seed in range(self.start, self.start + self.count)]
        return [Entry(image.where, image.where, image) for image in drawn]


SEEDS = 1000
"""From one part to the next: no image of more is one of another part."""
LEAVES = {"train": Leaves(2000, 64, 256), "validation": Leaves(3000, 12, 84), "test": Leaves(4000, 32, 48)}


@dataclass(frozen=True)
class Photograph:
    """A photograph that scikit-image carries, not read yet: halved where that leaves enough, then its middle."""

    where: str

    @property
    def stamp(self) -> str:
        """Changes with the version of scikit-image, and with the code that halves."""
        return f"{self.where} {CROP} {version('scikit-image')} {_code_of(resize)}"

    def __call__(self) -> Image:
        """The image, 192×192×3."""
        from skimage import data

        photograph: Image = getattr(data, self.where)()
        image = resize.imresize(photograph, 1 / 2) if min(photograph.shape[:2]) >= 2 * CROP else photograph
        top, left = ((side - CROP) // 2 for side in image.shape[:2])
        return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])


def photographs(root: Path | None = None, scale: int = 1) -> list[Entry]:
    """Four photographs, each a scene of its own; the arguments are not used."""
    return [Entry(name, name, Photograph(name)) for name in PHOTOGRAPHS]


def _code_of(module: ModuleType) -> str:
    """Return the revision of a module's code."""
    return table.component(Path(str(module.__file__)))
