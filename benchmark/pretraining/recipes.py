"""The recipes by name, and which backbone takes which."""

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
    """What a recipe teaches.

    Attributes:
        learns: the heads or the synthetic degradations that a network learns; raises where the network does not fit.
        batches: the training batches, on these clean images, of these heads or degradations.
    """

    learns: Callable[[Backbone], tuple[str, ...]]
    batches: Callable[[Backbone, list[Image], Recipe, tuple[str, ...]], Batches]


def learnt(network: Backbone, recipe: Recipe) -> tuple[str, ...]:
    """Return the heads or the degradations that `network` learns by `recipe`: its kind's, less those left out.

    Raises:
        PetlirError: the recipe does not fit the network, knows nothing of a name left out, or nothing remains.
    """
    known = KINDS[recipe.name].learns(network)
    left_out = [name for name in recipe.without.split(", ") if name]
    if strangers := [name for name in left_out if name not in known]:
        raise unknown(f"degradation of the recipe {recipe.name}", strangers[0], known)
    remaining = tuple(name for name in known if name not in left_out)
    if not remaining:
        raise PetlirError(f"--without leaves nothing of the recipe {recipe.name}; expected to keep at least one kind")
    return remaining


def training_batches(network: Backbone, images: list[Image], recipe: Recipe) -> Batches:
    """Return the training batches of `recipe` on these clean images."""
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
"""The recipe and the highest learning rate of the networks that are shipped; a recipe's first is its own backbone."""
RATE = 3e-4
"""For networks that are not tabled: what large ones are trained with (Zamir et al., Restormer, CVPR 2022, §4)."""


def choose(recipe: str | None, backbone: str | None) -> tuple[str, str, float]:
    """Recipe, backbone and learning rate, where none, one or both of the names are given.

    Raises:
        PetlirError: no recipe goes by this name.
    """
    if recipe is not None and recipe not in KINDS:
        raise unknown("recipe", recipe, KINDS)
    backbone = backbone or next(name for name, (own, _) in DEFAULTS.items() if own == (recipe or own))
    own, rate = DEFAULTS.get(backbone, ("prod", RATE))
    return recipe or own, backbone, rate
