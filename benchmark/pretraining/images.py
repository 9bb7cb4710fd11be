"""Clean images for pre-training: dead leaves, which need no download and no licence, or a folder of photographs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.bundled import DRAWN, Leaves
from petlir.benchmark.images.imageset import pixels_digest
from petlir.benchmark.images.mapped import decoded
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.images.walking import images_in

FIRST_IMAGE = 1_000_000
"""The number of the first procedural image, which is far from the numbers used by the tasks."""


def dead_leaves(count: int, seed: int) -> list[Image]:
    """Return `count` dead-leaves images of 256×256×3, different for each seed."""
    return list(decoded("leaves", [entry.clean for entry in Leaves(FIRST_IMAGE + seed * count, count, DRAWN)()]).images)


def photographs(folder: Path, count: int, seed: int, held_out: Mapping[str, str]) -> list[Image]:
    """Return `count` patches of 256×256×3 from the photographs in `folder`, cycling through them.

    A photograph that is smaller than a patch along an axis is not cropped along this axis.

    Args:
        folder: folder of 8-bit images.
        count: number of patches.
        seed: seed of the order of the photographs and of the positions of the patches.
        held_out: digest → name of the test images, which must not be trained on.

    Raises:
        PetlirError: the folder is missing or empty, or a photograph cannot be read or is a test image.
    """
    files = list(images_in(folder).values())
    turns = np.random.default_rng(seed).permutation(len(files))
    paths = (files[turns[n % len(files)]] for n in range(count))
    return [_one_patch(path, held_out, np.random.default_rng([seed, n])) for n, path in enumerate(paths)]


def _one_patch(path: Path, held_out: Mapping[str, str], rng: np.random.Generator) -> Image:
    image = read_image(path)
    if (test := held_out.get(pixels_digest(image))) is not None:
        raise PetlirError(f"{path} is the test image {test}; expected photographs that are not in any test set")
    return patch(image, DRAWN, rng).copy()


def patch(image: Image, side: int, rng: np.random.Generator) -> Image:
    """Return a view of a random crop of `side`×`side` pixels; an axis of fewer pixels is not cropped."""
    top, left = (int(rng.integers(max(0, extent - side) + 1)) for extent in image.shape[:2])
    return image[top : top + side, left : left + side]
