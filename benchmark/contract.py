"""What every method must hold, checked on a small network: `petlir contract FILE.py:Class`."""

from __future__ import annotations

import json
import pickle
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.adaptation import adapt, merge
from benchmark.backbone import Backbone
from benchmark.errors import PetlirError
from benchmark.method import Method, Paper
from benchmark.trial import STEPS, Trial, tiny

CLOSE = 1e-5
"""Outputs are equal within this share of their largest magnitude."""
RAISED = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, PetlirError)
"""What a faulty method may raise; it becomes a finding."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: of the check.
        passed: whether the method holds it.
        detail: what is wrong, in one line; empty where it holds.
    """

    name: str
    passed: bool
    detail: str = ""


def check(method: Method, build: Callable[[], Backbone] = tiny) -> list[Finding]:
    """Every point of the contract for `method`.

    Args:
        method: with the options to check.
        build: a small network, by default an IPT; may draw its weights at random.
    """
    trial = Trial(method, build)
    reason = method.supports(trial.network())
    if reason is not None:
        return [Finding("supported", False, f"{reason}; check it on a backbone that it supports")]
    return [_finding(name, point, trial) for name, point in POINTS.items()]


def _finding(name: str, point: Callable[[Trial], str | None], trial: Trial) -> Finding:
    try:
        fault = point(trial)
    except RAISED as error:
        fault = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return Finding(name, fault is None, fault or "")


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest magnitude."""
    return float((one - other).abs().max() / other.abs().max())


def described(trial: Trial) -> str | None:
    """A name, an idea, a docstring, and the paper where it trains something of its own."""
    method = type(trial.method)
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_:][a-z0-9]+)*", getattr(method, "name", "")):
        return "name is missing, or not lower-case words joined by - or _"
    if not getattr(method, "idea", ""):
        return "idea is missing: one sentence for its card"
    if not method.__doc__ or method.__doc__.startswith(f"{method.__name__}("):
        return "the class has no docstring"
    if method.trains and not method.tunes_backbone and not isinstance(method.paper, Paper):
        return "paper is missing"
    return None


def frozen_dataclass(trial: Trial) -> str | None:
    """Options that cannot change, that a record can hold, and that make the same method again."""
    kind = type(trial.method)
    if "__dataclass_params__" not in vars(kind):
        return "not a frozen dataclass: put @dataclass(frozen=True) above the class"
    restored = kind(**json.loads(json.dumps(trial.method.options())))
    return None if restored == trial.method else "its options do not survive being written as JSON"


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


def merges(trial: Trial) -> str | None:
    """Folding what can be folded leaves the output as it was."""
    adapted = trial.adapted()
    trial.train(adapted)
    before = trial.output(adapted.backbone)
    merge(adapted.backbone)
    apart = _apart(trial.output(adapted.backbone), before)
    return None if apart <= CLOSE else f"the output differs by {apart:.1e} after merging"


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


def sizes(trial: Trial) -> str | None:
    """A larger size has more parameters, and size 0 is refused in one line."""
    option = trial.method.size
    if option is None:
        return None
    counts = [
        sum(p.numel() for p in trial.adapted(method=replace(trial.method, **{option: value})).trainable().values())
        for value in (1, 2, 3)
    ]
    if not counts[0] < counts[1] < counts[2]:
        return f"{option} = 1, 2, 3 gives {counts[0]}, {counts[1]}, {counts[2]} parameters, which do not grow"
    try:
        replace(trial.method, **{option: 0})
    except PetlirError:
        return None
    return f"{option} = 0 is not refused with a PetlirError"


POINTS: Mapping[str, Callable[[Trial], str | None]] = {
    "described": described,
    "frozen dataclass": frozen_dataclass,
    "trains what it says": trains,
    "identity at the start": identity,
    "frozen weights stay": frozen_stays,
    "gradients reach all": gradients,
    "saves and loads": stored,
    "merges exactly": merges,
    "repeats from a seed": repeats,
    "leaves no trace": leaves_no_trace,
    "images stay apart": images_apart,
    "sizes": sizes,
}
"""The points of the contract by name, in the order of the report."""
