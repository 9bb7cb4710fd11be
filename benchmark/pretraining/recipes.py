"""The recipes by name, and their default backbones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.pretraining import multitask, prod, self_supervised, synthetic
from petlir.benchmark.pretraining.loop import Batches, Recipe


@dataclass(frozen=True)
class Kind:
    """A pre-training objective.

    Attributes:
        learns: returns the heads or synthetic degradations that a network learns; raises PetlirError if the network
            does not fit the objective.
        batches: returns the training batches for given clean images and for the heads or degradations to learn.
    """

    learns: Callable[[Backbone], tuple[str, ...]]
    batches: Callable[[Backbone, list[Image], Recipe, tuple[str, ...]], Batches]


def learnt(network: Backbone, recipe: Recipe) -> tuple[str, ...]:
    """Return the heads or the degradations that `network` learns with `recipe`, except the names in `recipe.without`.

    Raises:
        PetlirError: the recipe does not fit the network, a name in `recipe.without` is unknown, or
                `recipe.without` leaves out everything.
    """
    known = KINDS[recipe.name].learns(network)
    left_out = [name for name in recipe.without.split(", ") if name]
    if strangers := [name for name in left_out if name not in known]:
        raise unknown(f"head or degradation of the recipe {recipe.name}", strangers[0], known)
    remaining = tuple(name for name in known if name not in left_out)
    if not remaining:
        raise PetlirError(
            f"--without leaves out every part of the recipe {recipe.name}; expected at least one part to remain"
        )
    return remaining


def all_but(only: str, recipe: str, network: Backbone) -> str:
    """Return the heads or degradations that a recipe leaves out to keep only those in `only`, joined by commas.

    Raises:
        PetlirError: the recipe does not fit the network, `only` holds no name, or a name is unknown.
    """
    known = KINDS[recipe].learns(network)
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if not wanted:
        raise PetlirError(f"--only {only!r} names nothing; expected some of {', '.join(known)}")
    if strangers := [name for name in wanted if name not in known]:
        raise unknown(f"head or degradation of the recipe {recipe}", strangers[0], known)
    return ",".join(name for name in known if name not in wanted)


def training_batches(network: Backbone, images: list[Image], recipe: Recipe) -> Batches:
    """Return the training batches that `recipe` draws from clean `images`."""
    return KINDS[recipe.name].batches(network, images, recipe, learnt(network, recipe))


def _for_one_head(degrade: synthetic.Degrade, kinds: tuple[str, ...]) -> Kind:
    def learns(network: Backbone) -> tuple[str, ...]:
        synthetic.only_head(network)
        return kinds

    def batches(network: Backbone, images: list[Image], recipe: Recipe, kinds: tuple[str, ...]) -> Batches:
        return synthetic.batches(network, images, recipe, degrade, kinds)

    return Kind(learns, batches)


KINDS: Mapping[str, Kind] = {
    "multitask": Kind(multitask.heads, multitask.batches),
    "prod": _for_one_head(prod.degrade, tuple(synthetic.SYNTHETIC)),
    "self-supervised": _for_one_head(self_supervised.degrade, self_supervised.KINDS),
}

DEFAULTS: Mapping[str, tuple[str, float]] = {
    "ipt-nano": ("multitask", 2e-3),
    "edt-nano": ("multitask", 1e-3),
    "nafnet-nano": ("prod", 2e-3),
    "restormer-nano": ("self-supervised", 1e-3),
}
"""The recipe and the peak learning rate of the shipped networks; a recipe's first entry is its default backbone."""
RATE = 3e-4
"""The default peak learning rate, as for large networks (Zamir et al., Restormer, CVPR 2022, §4)."""


def choose(recipe: str | None, backbone: str | None) -> tuple[str, str, float]:
    """Return recipe, backbone and learning rate, with defaults for the names that are None.

    Raises:
        PetlirError: the recipe is unknown.
    """
    if recipe is not None and recipe not in KINDS:
        raise unknown("recipe", recipe, KINDS)
    backbone = backbone or next(name for name, (own, _) in DEFAULTS.items() if own == (recipe or own))
    own, rate = DEFAULTS.get(backbone, ("prod", RATE))
    return recipe or own, backbone, rate
