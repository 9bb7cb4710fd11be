"""The contract of every method, checked on a small network of each family: `petlir contract FILE.py:Class`."""

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
"""Exceptions of a faulty method that become findings."""


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Attributes:
        name: name of the check.
        passed: whether the method passed it.
        detail: the fault in one line; empty if it passed.
        applicable: whether the method supports the network; if not, the detail is its reason.
    """

    name: str
    passed: bool
    detail: str = ""
    applicable: bool = True


def method_of(target: str) -> Method:
    """Return the method named by `FILE.py:Class` or by a grid item such as `lora[rank=8]`.

    Raises:
        PetlirError: the file, class or method does not exist, or the item names several methods.
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
    """Return the builder of a network for each name: a family's small network, `*` for all, or a full-size backbone.

    Raises:
        PetlirError: a name is neither.
    """
    if names == "*":
        return dict(SMALL)
    every = {name: partial(alive, builder) for name, builder in find().backbones.items()} | dict(SMALL)
    return {name: every[name] for name in grid.choose("backbone", names, every)}


def check(method: Method, build: Callable[[], Backbone] = tiny) -> list[Finding]:
    """Check every point of the contract for `method`.

    Args:
        method: the method, with the options to check.
        build: builder of a small network, by default an IPT; its weights may be random.
    """
    trial = Trial(method, build)
    if trial.obstacle is not None:
        return [Finding("supported", False, trial.obstacle, applicable=False)]
    return [examine(point, trial) for point in POINTS]


def examine(point: str, trial: Trial) -> Finding:
    """Check the named point of the contract."""
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
