"""Synthetic degradations for networks with one head, from barely visible to as strong as in the tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.degradation import Degradation, Image, rounded
from petlir.benchmark.degradations.blur import GaussianBlur, MotionBlur, Resized
from petlir.benchmark.degradations.camera import CameraNoise
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.patches import Pair, PatchSampler
from petlir.benchmark.pretraining.images import patch
from petlir.benchmark.pretraining.loop import Batch, Batches, Recipe

Draw = Callable[[np.random.Generator], Degradation]
Degrade = Callable[[Image, np.random.Generator, Sequence[str]], Image]
"""A function that degrades an image by random kinds of degradation from `SYNTHETIC`."""

SYNTHETIC: Mapping[str, Draw] = {
    "gaussian blur": lambda rng: GaussianBlur(rng.uniform(0, 2.5)),
    "motion blur": lambda rng: MotionBlur(rng.uniform(0, 12), rng.uniform(0, 180)),
    "resize": lambda rng: Resized(rng.uniform(1, 4)),
    "noise": lambda rng: GaussianNoise(rng.uniform(0, 60)),
    "camera noise": lambda rng: CameraNoise((1e-4, 1.2e-2)),
    "jpeg": lambda rng: Jpeg(int(rng.integers(20, 95, endpoint=True))),
    "rain": lambda rng: RainStreaks(("light", "heavy")[int(rng.integers(2))]),
}
"""Kind of degradation → a function that draws its parameters; the degradation itself draws all further random values.
"""

TILE = 128
"""The side in pixels of a tile, which is the image area that is degraded at once."""
TILES = 256
"""The number of tiles that crops are drawn from; one tile is replaced per step."""


class Pool:
    """A pool of tiles that is renewed gradually, so that degrading costs one tile per step instead of one per crop.

    Args:
        make: creates the tile with a given number.
        size: number of tiles per step; step n uses the tiles n to n + size - 1.
    """

    def __init__(self, make: Callable[[int], Pair], size: int = TILES) -> None:
        self._make, self._size = make, size
        self._tiles: dict[int, Pair] = {}

    def at(self, step: int) -> list[Pair]:
        """Return the tiles of `step`, which depend on `step` alone; tiles of the previous step are reused."""
        self._tiles = {n: self._tiles.get(n) or self._make(n) for n in range(step, step + self._size)}
        return list(self._tiles.values())


def draw(kind: str, image: Image, rng: np.random.Generator) -> Image:
    """Degrade the image by the given kind, with strength and noise drawn from `rng`, and round it to 8 bits."""
    return rounded(SYNTHETIC[kind](rng).degrade(image, int(rng.integers(2**62))))


def only_head(network: Backbone) -> str:
    """Return the network's only head, which must preserve the image size and use all weights.

    Raises:
        PetlirError: the network has several heads with their own weights, or no head that preserves the image size.
    """
    for head, scale in network.heads.items():
        if scale == 1 and len(list(network.tunable(head))) == len(list(network.tunable(None))):
            return head
    raise PetlirError(
        f"{network.name} has heads for single tasks ({', '.join(network.heads)}); "
        "expected a network with one head for all tasks, or the recipe multitask"
    )


CROP = 48
"""The side of a degraded training crop in pixels; it is increased if the network would pad such a crop."""


def batches(network: Backbone, images: list[Image], recipe: Recipe, degrade: Degrade, kinds: Sequence[str]) -> Batches:
    """Return batches of crops from tiles of `images`, degraded by `kinds`, for the only head of `network`."""
    head = only_head(network)
    pool = Pool(partial(_tile, images, degrade, kinds, recipe.seed))

    def batch(step: int) -> Batch:
        sampler = PatchSampler(
            pool.at(step),
            scale=1,
            patch=network.patch(head, CROP),
            batch_size=recipe.batch_size,
            perturb=None,
            seed=recipe.seed,
        )
        return head, *sampler.batch(step)

    return batch


def _tile(images: list[Image], degrade: Degrade, kinds: Sequence[str], seed: int, number: int) -> Pair:
    rng = np.random.default_rng([seed, number, 1])  # the final 1 makes these numbers independent of those for crops
    clean = patch(images[int(rng.integers(len(images)))], TILE, rng)
    return degrade(clean, rng, kinds), clean
