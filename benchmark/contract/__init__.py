"""Checks of the contracts of methods and backbones, which `petlir contract` makes on small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from petlir.benchmark import grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.containment import contained
from petlir.benchmark.contract import evaluation, options, outputs, weights
from petlir.benchmark.contract.backbone_points import BACKBONE_POINTS, BackboneTrial
from petlir.benchmark.contract.global_state import functions, replaced, spelled
from petlir.benchmark.contract.settings import global_state
from petlir.benchmark.contract.toy_model import SMALL, ToyTrial, alive, tiny
from petlir.benchmark.contract.trial import RAISED, described
from petlir.benchmark.errors import Interruption, PetlirError, unknown
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import Plugins, find, load_file
from petlir.benchmark.signals import interrupted_by_user

COMPARING = {
    "identity at the start",
    "saves and loads",
    "merges exactly",
    "images stay apart",
    "training and evaluation agree",
    "any number of threads",
}
"""Contract points that compare outputs, and are not checked for a method whose evaluation is not repeatable."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of checking one point of a contract.

    Attributes:
        name: name of the contract point.
        passed: whether the method or backbone passes the check.
        detail: the fault, or the reason why the check was skipped, in one line; empty if the check is passed.
        applicable: whether the check was made; if not, `detail` is the reason, e.g. that the method does not support
            the network.
    """

    name: str
    passed: bool
    detail: str = ""
    applicable: bool = True


def target_of(target: str, plugins: Plugins | None = None) -> Method | Callable[[], Backbone]:
    """Return a method, or the builder of a small backbone, from `FILE.py:Class`, a grid item or a family's name.

    Raises:
        PetlirError: the file, class, method or family does not exist, or the grid item names several methods.
    """
    plugins = plugins or find()
    file, _, name = target.rpartition(":")
    if file.endswith(".py"):
        classes = {
            key: kind
            for key, kind in vars(_loaded(Path(file))).items()
            if isinstance(kind, type) and issubclass(kind, Method | Backbone) and kind not in (Method, Backbone)
        }
        if name not in classes:
            raise unknown(f"method or backbone in {file}", name, classes)
        kind = classes[name]
        with _named(f"{name} in {file}"):
            return kind.small if issubclass(kind, Backbone) else kind()
    if target in plugins.backbone_families:
        return plugins.backbone_families[target].small
    found = grid.methods(target, plugins.methods)
    if len(found) != 1:
        raise PetlirError(f"{target!r} names {len(found)} methods, expected one")
    return found[0]


def _loaded(file: Path) -> ModuleType:
    """Import a plugin file; reject a file whose import changes settings or functions of the process.

    Environment variables may change, because many libraries set some when they are imported.
    """
    known, before = functions(), global_state()
    module = load_file(file)
    after = global_state() | {"environment variables": before["environment variables"]}
    changed = [name for name, now in after.items() if now != before[name]]
    if changed := changed + [spelled(place) for place in replaced(known)]:
        raise PetlirError(f"importing {file} changes {', '.join(changed[:4])}")
    return module


def networks(names: str = "*", plugins: Plugins | None = None) -> dict[str, Callable[[], Backbone]]:
    """Return a builder for each named network: the small network of a family, or a backbone at its full size.

    Args:
        names: comma-separated names, or `*` for all families that declare a small size.
        plugins: the available plugins, or None for the installed plugins.

    Raises:
        PetlirError: a name is neither a backbone family nor a backbone.
    """
    plugins = plugins or find()
    small = {name: partial(alive, family.small) for name, family in plugins.backbone_families.items()} | dict(SMALL)
    if names == "*":
        return small
    every = {name: partial(alive, builder) for name, builder in plugins.backbones.items()} | small
    return {name: every[name] for name in grid.choose("backbone", names, every)}


def trials(target: str, names: str = "*", plugins: Plugins | None = None) -> dict[str, ToyTrial | BackboneTrial]:
    """Return a trial for each network on which a method's contract is checked, or a single trial for a backbone.

    Args:
        target: a method or a backbone family, see `target_of`.
        names: names of networks, see `networks`; ignored if the target is a backbone.
        plugins: the available plugins, or None for the installed plugins.
    """
    found = target_of(target, plugins)
    if isinstance(found, Method):
        return {name: ToyTrial(found, build) for name, build in networks(names, plugins).items()}
    with _named(target):
        trial = BackboneTrial(found)
    return {trial.example.name: trial}


@contextmanager
def _named(target: str) -> Iterator[None]:
    """Convert any exception raised while building a plugin into a one-line error that names the plugin."""
    try:
        with interrupted_by_user(), contained():
            yield
    except Interruption:
        raise
    except RAISED as error:
        raise PetlirError(f"{target} cannot be built: {described(error)}") from error


def check(method: Method, build: Callable[[], Backbone] = tiny) -> list[CheckResult]:
    """Check every point of the contract for `method`.

    Args:
        method: the method, with the options to check.
        build: function that builds a small network, by default an IPT; the weights may be random.
    """
    return findings(ToyTrial(method, build))


def findings(trial: ToyTrial | BackboneTrial) -> list[CheckResult]:
    """Check every point of a contract; if a method does not support the network, return one result with the reason."""
    refused = unsupported(trial)
    return [refused] if refused else [examine(point, trial) for point in points(trial)]


def unsupported(trial: ToyTrial | BackboneTrial) -> CheckResult | None:
    """Return a check result if the method does not support the network or if `supports` fails, else None."""
    if isinstance(trial, BackboneTrial):
        return None
    fault = trial.fault(lambda: options.supported(trial))
    if fault is not None:
        return CheckResult("supported", False, fault)
    return CheckResult("supported", False, trial.obstacle, applicable=False) if trial.obstacle else None


def points(trial: ToyTrial | BackboneTrial) -> list[str]:
    """Return the names of the contract points that a trial checks."""
    return list(POINTS if isinstance(trial, ToyTrial) else BACKBONE_POINTS)


def examine(point: str, trial: ToyTrial | BackboneTrial) -> CheckResult:
    """Check one point of the contract by name; any exception counts as a failure of this point."""
    skipped = False

    def check() -> str | None:
        nonlocal skipped
        if isinstance(trial, BackboneTrial):
            return BACKBONE_POINTS[point](trial)
        skipped = point in COMPARING and not trial.evaluation.repeats
        return None if skipped else POINTS[point](trial)

    fault = trial.fault(check)
    if skipped:
        return CheckResult(point, True, "not checked: evaluation is not repeatable", applicable=False)
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
    "training and evaluation agree": evaluation.modes_agree,
    "saves and loads": weights.stored,
    "stores its own": weights.stores_its_own,
    "merges exactly": weights.merges,
    "mixed precision": outputs.mixed_precision,
    "repeats from a seed": outputs.repeats,
    "any number of threads": evaluation.threads,
    "leaves no trace": outputs.leaves_no_trace,
    "inputs stay": outputs.inputs_stay,
    "evaluation repeats": evaluation.repeats,
    "images stay apart": evaluation.images_apart,
    "any image size": evaluation.image_sizes,
    "constant images": evaluation.constant_images,
    "sizes": options.sizes,
    "options act": options.options_act,
}
"""The points of the contract by name, in the order of the report."""
