"""The contracts of methods and backbones, checked on small networks: `petlir contract FILE.py:Class`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from petlir.benchmark import grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.contract import options, outputs, weights
from petlir.benchmark.contract.backbone_points import BACKBONE_POINTS, BackboneTrial
from petlir.benchmark.contract.toy_model import SMALL, ToyTrial, alive, tiny
from petlir.benchmark.errors import PetlirError, told, unknown
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import Plugins, find, load_file

RAISED = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, PetlirError)
"""What a faulty plugin may raise; it becomes a finding."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        name: of the check.
        passed: whether the method or backbone holds it.
        detail: what is wrong, in one line; empty where it holds.
        applicable: whether the method supports the network at all; where not, the detail is its reason.
    """

    name: str
    passed: bool
    detail: str = ""
    applicable: bool = True


def target_of(target: str, plugins: Plugins | None = None) -> Method | Callable[[], Backbone]:
    """Return the method or the small backbone that `FILE.py:Class`, a grid item or the name of a family stands for.

    Raises:
        PetlirError: there is no such file, class, method or family, or the item names several methods.
    """
    plugins = plugins or find()
    file, _, name = target.rpartition(":")
    if file.endswith(".py"):
        classes = {
            key: kind
            for key, kind in vars(load_file(Path(file))).items()
            if isinstance(kind, type) and issubclass(kind, Method | Backbone) and kind not in (Method, Backbone)
        }
        if name not in classes:
            raise unknown(f"method or backbone in {file}", name, classes)
        kind = classes[name]
        return kind.small if issubclass(kind, Backbone) else kind()
    if target in plugins.backbone_families:
        return plugins.backbone_families[target].small
    found = grid.methods(target, plugins.methods)
    if len(found) != 1:
        raise PetlirError(f"{target!r} names {len(found)} methods, expected one")
    return found[0]


def networks(names: str = "*", plugins: Plugins | None = None) -> dict[str, Callable[[], Backbone]]:
    """Return how to build a network for each name: the small one of a family, or a backbone at its full size.

    Args:
        names: with commas; `*` for all families that declare a small size.
        plugins: where backbones come from.

    Raises:
        PetlirError: a name is neither.
    """
    plugins = plugins or find()
    small = {name: partial(alive, family.small) for name, family in plugins.backbone_families.items()} | dict(SMALL)
    if names == "*":
        return small
    every = {name: partial(alive, builder) for name, builder in plugins.backbones.items()} | small
    return {name: every[name] for name in grid.choose("backbone", names, every)}


def trials(target: str, names: str = "*", plugins: Plugins | None = None) -> dict[str, ToyTrial | BackboneTrial]:
    """Return a trial for each network on which the contract of a target is checked; of a backbone its own alone.

    Args:
        target: see `target_of`.
        names: see `networks`; for a backbone they are not read.
        plugins: where methods and backbones come from.
    """
    found = target_of(target, plugins)
    if isinstance(found, Method):
        return {name: ToyTrial(found, build) for name, build in networks(names, plugins).items()}
    trial = BackboneTrial(found)
    return {trial.example.name: trial}


def check(method: Method, build: Callable[[], Backbone] = tiny) -> list[CheckResult]:
    """Check every point of the contract for `method`.

    Args:
        method: the method, with the options to check.
        build: builder of a small network, by default an IPT; its weights may be random.
    """
    return findings(ToyTrial(method, build))


def findings(trial: ToyTrial | BackboneTrial) -> list[CheckResult]:
    """Check every point; a method that does not support the network is one finding that does not apply."""
    if trial.obstacle is not None:
        return [CheckResult("supported", False, trial.obstacle, applicable=False)]
    return [examine(point, trial) for point in points(trial)]


def points(trial: ToyTrial | BackboneTrial) -> list[str]:
    """Return the points of the contract that a trial is for."""
    return list(POINTS if isinstance(trial, ToyTrial) else BACKBONE_POINTS)


def examine(point: str, trial: ToyTrial | BackboneTrial) -> CheckResult:
    """Check one point of the contract, by name."""
    try:
        fault = POINTS[point](trial) if isinstance(trial, ToyTrial) else BACKBONE_POINTS[point](trial)
    except RAISED as error:
        fault = told(error)
    return CheckResult(point, fault is None, fault or "")


POINTS: Mapping[str, Callable[[ToyTrial], str | None]] = {
    "described": options.described,
    "frozen dataclass": options.frozen_dataclass,
    "named in a grid": options.in_a_grid,
    "trains what it says": weights.trains,
    "identity at the start": outputs.identity,
    "frozen weights stay": weights.frozen_stays,
    "unfreezes what it says": weights.unfreezes,
    "shares what it says": weights.shares,
    "gradients reach all": weights.gradients,
    "saves and loads": weights.stored,
    "stores its own": weights.stores_its_own,
    "merges exactly": weights.merges,
    "mixed precision": outputs.mixed_precision,
    "repeats from a seed": outputs.repeats,
    "leaves no trace": outputs.leaves_no_trace,
    "images stay apart": outputs.images_apart,
    "sizes": options.sizes,
    "options act": options.options_act,
}
"""The points of the contract by name, in the order of the report."""
