"""What every method must hold, checked on a small network of each family: `petlir contract FILE.py:Class`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from petlir.benchmark import grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.contract import options, outputs, weights
from petlir.benchmark.contract.toy_model import SMALL, Trial, alive, tiny
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find, load_file

RAISED = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, PetlirError)
"""What a faulty method may raise; it becomes a finding."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: of the check.
        passed: whether the method holds it.
        detail: what is wrong, in one line; empty where it holds.
        applicable: whether the method supports the network at all; where not, the detail is its reason.
    """

    name: str
    passed: bool
    detail: str = ""
    applicable: bool = True


def method_of(target: str) -> Method:
    """The method that `FILE.py:Class` or a grid item such as `lora[rank=8]` names.

    Raises:
        PetlirError: there is no such file, class or method, or the item names several.
    """
    file, _, name = target.rpartition(":")
    if not file.endswith(".py"):
        found = grid.methods(target, find().methods)
        if len(found) != 1:
            raise PetlirError(f"{target!r} names {len(found)} methods, expected one")
        return found[0]
    module = load_file(Path(file))
    classes = {key: kind for key, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, Method)}
    if name not in classes:
        raise unknown(f"method in {file}", name, classes)
    return classes[name]()


def networks(names: str = "*") -> dict[str, Callable[[], Backbone]]:
    """How to build a network for each name: a family's small one, `*` for all of those, or a backbone at its full size.

    Raises:
        PetlirError: a name is neither.
    """
    if names == "*":
        return dict(SMALL)
    every = {name: partial(alive, builder) for name, builder in find().backbones.items()} | dict(SMALL)
    return {name: every[name] for name in grid.choose("backbone", names, every)}


def check(method: Method, build: Callable[[], Backbone] = tiny) -> list[Finding]:
    """Every point of the contract for `method`.

    Args:
        method: with the options to check.
        build: a small network, by default an IPT; may draw its weights at random.
    """
    trial = Trial(method, build)
    if trial.obstacle is not None:
        return [Finding("supported", False, trial.obstacle, applicable=False)]
    return [examine(point, trial) for point in POINTS]


def examine(point: str, trial: Trial) -> Finding:
    """One point of the contract, by name."""
    try:
        fault = POINTS[point](trial)
    except RAISED as error:
        fault = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return Finding(point, fault is None, fault or "")


POINTS: Mapping[str, Callable[[Trial], str | None]] = {
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
