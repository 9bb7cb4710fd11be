"""What every method must hold, checked on a small network of each family: `petlir contract FILE.py:Class`."""

from __future__ import annotations

import pickle
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmark import contract_options as options
from benchmark import grid
from benchmark.adaptation import adapt, merge
from benchmark.backbone import Backbone
from benchmark.errors import PetlirError, unknown
from benchmark.method import Mergeable, Method
from benchmark.plugins import find, load_file
from benchmark.trial import SMALL, STEPS, Trial, alive, tiny

CLOSE = 1e-5
"""Outputs are equal within this share of their largest magnitude."""
SPARE = 0.05
"""What may be stored beside the trainable parameters, as a share of their bytes."""
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


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest magnitude."""
    return float((one - other).abs().max() / other.abs().max())


def trains(trial: Trial) -> str | None:
    """Something is trainable exactly where the method says so."""
    count = len(trial.adapted().trainable())
    if trial.method.trains == (count > 0):
        return None
    return "it declares that it trains, and nothing is trainable" if count == 0 else f"{count} tensors are trainable"


def identity(trial: Trial) -> str | None:
    """Before any training it computes what the frozen network does, where it declares so."""
    if not trial.method.identity:
        return None
    apart = _apart(trial.output(trial.adapted().backbone), trial.output(trial.network()))
    return None if apart <= 1e-6 else f"the output differs by {apart:.1e} before any training"


@dataclass(frozen=True)
class Held:
    """A tensor of a module, where it stands, and a copy of its value."""

    module: nn.Module
    attribute: str
    name: str
    value: Tensor

    @property
    def now(self) -> Tensor:
        """What stands there now."""
        tensor: Tensor = getattr(self.module, self.attribute)
        return tensor


def frozen_stays(trial: Trial) -> str | None:
    """Adapting and training leave every frozen weight and buffer as it was, to the bit."""
    network = trial.network()
    held = [*_hold(network, "parameters"), *_hold(network, "buffers")]
    adapted = adapt(network, trial.method, trial.head, 1)
    held += [tensor for tensor in _hold(network, "parameters") if tensor.module in adapted.inserted]
    trainable = {id(parameter) for parameter in adapted.trainable().values()}
    trial.train(adapted)
    moved = [one.name for one in held if id(one.now) not in trainable and not torch.equal(one.now, one.value)]
    return f"not trainable, and changed: {', '.join(moved[:4])}" if moved else None


def _hold(network: nn.Module, kind: str) -> Iterator[Held]:
    for prefix, module in network.named_modules():
        for name, tensor in getattr(module, f"named_{kind}")(recurse=False):
            yield Held(module, name, f"{prefix}.{name}", tensor.detach().clone())


def unfreezes(trial: Trial) -> str | None:
    """It trains tensors of the backbone exactly where it says so."""
    says, tuned = trial.method.unfreezes or trial.method.tunes_backbone, trial.adapted().backbone.tuned
    if says and not tuned:
        return "it declares that it unfreezes, and none of the backbone's tensors is trainable"
    if tuned and not says:
        return f"tensors of the backbone are trainable, and unfreezes is not declared: {', '.join(sorted(tuned)[:4])}"
    return None


def shares(trial: Trial) -> str | None:
    """A trainable tensor stands at one place, unless it declares that it shares."""
    places = defaultdict(list)
    for name, parameter in trial.adapted().backbone.named_parameters(remove_duplicate=False):
        if parameter.requires_grad and parameter.numel():
            places[parameter.data_ptr()].append(name)
    several = [names for names in places.values() if len(names) > 1]
    if trial.method.shared or not several:
        return None
    return f"one tensor at several places, and shared is not declared: {', '.join(several[0][:4])}"


def gradients(trial: Trial) -> str | None:
    """Every trainable parameter gets a gradient, but those declared dead."""
    adapted, reached = trial.trained
    lost = [name for name in adapted.trainable() if name not in reached and not name.endswith(trial.method.dead())]
    return f"no gradient in {STEPS} steps: {', '.join(lost[:4])}" if lost else None


def stored(trial: Trial) -> str | None:
    """What is stored makes the trained network again, from a fresh one of another seed."""
    adapted, _ = trial.trained
    fresh = trial.adapted(seed=2)
    fresh.load(adapted.state())
    apart = _apart(trial.output(fresh.backbone), trial.output(adapted.backbone))
    if apart == 0:
        return None
    return f"the output differs by {apart:.1e} after saving and loading; something is no parameter or buffer"


def stores_its_own(trial: Trial) -> str | None:
    """Beside parameters, and buffers that training or the seed decides, it stores next to nothing.

    A method that requires other cells is passed over: it may store what those have trained.
    """
    if trial.needs_evidence:
        return None
    adapted, fresh = trial.trained[0], trial.adapted(seed=2).state()
    state, trainable = adapted.state(), adapted.trainable()
    idle = [name for name in state if name not in trainable and name in fresh and state[name].equal(fresh[name])]
    own, spare = sum(state[name].nbytes for name in trainable), sum(state[name].nbytes for name in idle)
    if spare <= SPARE * own:
        return None
    return f"{spare:,} bytes that any fresh network has, beside {own:,} of parameters: {', '.join(idle[:4])}"


def merges(trial: Trial) -> str | None:
    """Folding leaves the output as it was, and the unfolded network too."""
    adapted = trial.adapted()
    trial.train(adapted)
    before = trial.output(adapted.backbone)
    for module in adapted.backbone.modules():
        if isinstance(module, Mergeable) and callable(module.merged):
            module.merged()
    if not trial.output(adapted.backbone).equal(before):
        return "merged() changes the module that it folds; it has to return another"
    merge(adapted.backbone)
    apart = _apart(trial.output(adapted.backbone), before)
    return None if apart <= CLOSE else f"the output differs by {apart:.1e} after merging"


def mixed_precision(trial: Trial) -> str | None:
    """It trains under autocast to bfloat16, and parameters and output stay finite."""
    adapted = trial.adapted()
    trial.train(adapted, mixed=True)
    lost = [name for name, parameter in adapted.trainable().items() if not parameter.isfinite().all()]
    if lost:
        return f"not finite after training in bfloat16: {', '.join(lost[:4])}"
    with torch.autocast("cpu", torch.bfloat16):
        finite = trial.output(adapted.backbone).isfinite().all()
    return None if finite else "the output in bfloat16 is not finite"


def repeats(trial: Trial) -> str | None:
    """The same seed gives the same weights, before and after training."""
    again = trial.adapted()
    if not _equal(again.state(), trial.adapted().state()):
        return "two networks of the same seed start apart"
    trial.train(again)
    return None if _equal(again.state(), trial.trained[0].state()) else "two trainings of the same seed end apart"


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def leaves_no_trace(trial: Trial) -> str | None:
    """Global random numbers and settings are as before."""
    network = trial.network()
    before = _global_state()
    adapt(network, trial.method, trial.head, 1)
    trial.output(network)
    changed = [name for name, now in _global_state().items() if now != before[name]]
    return f"it changes {', '.join(changed)}" if changed else None


def _global_state() -> dict[str, object]:
    return {
        "numpy's global random numbers": pickle.dumps(np.random.get_state()),
        "Python's global random numbers": random.getstate(),
        "torch's global random numbers": torch.get_rng_state().numpy().tobytes(),
        "torch's default type": torch.get_default_dtype(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's threads": torch.get_num_threads(),
    }


def images_apart(trial: Trial) -> str | None:
    """In evaluation an image's result does not depend on its neighbours in the batch."""
    network = trial.trained[0].backbone.eval()
    with torch.no_grad():
        alone = torch.cat([network(image[None], trial.head) for image in trial.images])
    apart = _apart(alone, trial.output(network))
    return None if apart <= CLOSE else f"an image alone differs by {apart:.1e} from the same in a batch"


POINTS: Mapping[str, Callable[[Trial], str | None]] = {
    "described": options.described,
    "frozen dataclass": options.frozen_dataclass,
    "named in a grid": options.in_a_grid,
    "trains what it says": trains,
    "identity at the start": identity,
    "frozen weights stay": frozen_stays,
    "unfreezes what it says": unfreezes,
    "shares what it says": shares,
    "gradients reach all": gradients,
    "saves and loads": stored,
    "stores its own": stores_its_own,
    "merges exactly": merges,
    "mixed precision": mixed_precision,
    "repeats from a seed": repeats,
    "leaves no trace": leaves_no_trace,
    "images stay apart": images_apart,
    "sizes": options.sizes,
    "options act": options.options_act,
}
"""The points of the contract by name, in the order of the report."""
