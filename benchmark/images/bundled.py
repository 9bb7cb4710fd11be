"""The sets that come with the install: dead-leaves images, and the photographs that scikit-image carries."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.degradation import Image
from benchmark.degradations.resize import imresize
from benchmark.images import procedural
from benchmark.images.cache import cache_folder
from benchmark.images.imageset import Entry, Held

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
"""The colour photographs in scikit-image's wheel that are in the public domain or CC0."""
CROP = 192
DRAWN = 256


@dataclass(frozen=True)
class Leaves:
    """Dead-leaves images, kept in the user's cache once they are drawn.

    Attributes:
        first: the seed of the first image; the others follow.
        count: how many.
        size: their side in pixels, cut from the middle: a leaf's size is a share of the image it was drawn for.
    """

    first: int
    count: int
    size: int

    def __call__(self, root: Path | None = None, scale: int = 1) -> list[Entry]:
        """The images; each is a scene of its own. `root` and `scale` are not used."""
        names = [f"leaves-{seed}" for seed in range(self.first, self.first + self.count)]
        return [Entry(name, name, Held(image, name)) for name, image in zip(names, self._images(), strict=True)]

    def _images(self) -> list[Image]:
        path = cache_folder() / f"leaves-{self.first}-{self.count}-{self.size}of{DRAWN}-{_version()}.npy"
        shape = (self.count, self.size, self.size, 3)
        with contextlib.suppress(OSError, ValueError, EOFError):
            stored = np.load(path, allow_pickle=False)
            if stored.shape == shape and stored.dtype == np.uint8:
                return list(stored)
        images = [self._draw(self.first + number) for number in range(self.count)]
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
            _store(np.stack(images), path)
        return images

    def _draw(self, seed: int) -> Image:
        margin = (DRAWN - self.size) // 2
        return procedural.leaves(seed, DRAWN)[margin : margin + self.size, margin : margin + self.size]


LEAVES = {"train": Leaves(2000, 64, 256), "validation": Leaves(3000, 12, 84), "test": Leaves(4000, 32, 84)}


def photographs(root: Path | None = None, scale: int = 1) -> list[Entry]:
    """Four photographs, halved where that leaves enough, then their middle 192×192; the arguments are not used."""
    from skimage import data

    return [Entry(name, name, Held(_middle(getattr(data, name)()), name)) for name in PHOTOGRAPHS]


def _middle(photograph: Image) -> Image:
    image = imresize(photograph, 1 / 2) if min(photograph.shape[:2]) >= 2 * CROP else photograph
    top, left = ((side - CROP) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])


def _version() -> str:
    """Changes with the code that draws the images."""
    return hashlib.sha256(Path(procedural.__file__).read_bytes()).hexdigest()[:12]


def _store(images: Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            np.save(file, images)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
    Path(file.name).replace(path)
