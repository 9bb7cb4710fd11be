"""Multi-task pre-training as in IPT (Chen et al., CVPR 2021, §3.2): one task per batch, one shared body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.degradation import Degradation, Image
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.images.patches import PatchSampler
from petlir.benchmark.pretraining.loop import Batch, Batches, Recipe
from petlir.benchmark.pretraining.synthetic import CROP

DEGRADATIONS: dict[str, tuple[Degradation, ...]] = {
    "sr_x2": (Bicubic(2),),
    "sr_x3": (Bicubic(3),),
    "sr_x4": (Bicubic(4),),
    "derain": (RainStreaks("light"), RainStreaks("heavy")),
    "derain_light": (RainStreaks("light"),),
    "derain_heavy": (RainStreaks("heavy"),),
    "denoise_15": (GaussianNoise(15),),
    "denoise_25": (GaussianNoise(25),),
    "denoise_30": (GaussianNoise(30),),
    "denoise_50": (GaussianNoise(50),),
}
"""The degradations that the heads of IPT and EDT learn to reverse."""


def heads(network: Backbone) -> tuple[str, ...]:
    """Return the heads of `network`, each of which learns its own task.

    Raises:
        PetlirError: the network has a single head, or a head without a known degradation.
    """
    strangers = [head for head in network.heads if head not in DEGRADATIONS]
    if len(network.heads) - len(strangers) < 2:
        raise PetlirError(
            f"{network.name} has no heads for several tasks, so no body can be shared between them; "
            "expected the recipe prod or self-supervised"
        )
    if strangers:
        raise unknown(f"head of {network.name} for the recipe multitask", strangers[0], DEGRADATIONS)
    return tuple(network.heads)


def batches(network: Backbone, images: list[Image], recipe: Recipe, learnt: Sequence[str]) -> Batches:
    """Return batches that cycle through the heads `learnt`, each with its own degradation."""
    samplers = [(head, _sampler(network, head, images, recipe)) for head in learnt]

    def batch(step: int) -> Batch:
        head, sampler = samplers[step % len(samplers)]
        return head, *sampler.batch(step)

    return batch


def _sampler(network: Backbone, head: str, images: list[Image], recipe: Recipe) -> PatchSampler:
    kinds = DEGRADATIONS[head]
    return PatchSampler(
        [pair for kind in kinds for pair in _pairs(images, kind, recipe.seed)],
        scale=network.heads[head],
        patch=network.patch(head, CROP),
        batch_size=recipe.batch_size,
        perturb=kinds[0],
        seed=recipe.seed,
    )


def _pairs(images: list[Image], degradation: Degradation, seed: int) -> Iterator[tuple[Image, Image]]:
    factor = degradation.factor
    for number, image in enumerate(images):
        height, width = (side // factor * factor for side in image.shape[:2])
        clean = image[:height, :width]
        yield degradation.prepare(clean, np.random.default_rng([seed, number])), clean
