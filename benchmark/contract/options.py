"""Contract points on a method's declaration: its description, and options that work in grids and take effect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from typing import get_args, get_type_hints

from torch import Tensor

from petlir.benchmark import grid
from petlir.benchmark.contract.toy_model import ToyTrial
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method, Paper, Published, spelled
from petlir.benchmark.training.adaptation import Adapted

Outcome = tuple[int, Tensor]
"""The number of stored values, and the network's output after training."""
ROOMS = (8, 32)
"""Larger method sizes for testing options; at the smallest sizes, different fractions round to the same number."""


def supported(trial: ToyTrial) -> str | None:
    """Check that `supports` returns None or a reason, and the same answer for equal networks."""
    network = trial.network()
    for answer in [trial.obstacle, *(trial.method.supports(network) for _ in range(4))]:
        if answer is not None and (not isinstance(answer, str) or not answer.strip()):
            return f"supports() returns {answer!r}, expected None or the reason"
        if answer != trial.obstacle:
            return f"supports() gives different answers for the same network: {trial.obstacle!r} and {answer!r}"
    return None


def described(trial: ToyTrial) -> str | None:
    """Check that the method has a name, an `idea`, a docstring and, if it trains more than the backbone, a paper."""
    method = type(trial.method)
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_:][a-z0-9]+)*", getattr(method, "name", "")):
        return "name is missing, or is not lower-case words joined by - or _"
    if not getattr(method, "idea", ""):
        return "idea is missing: expected one sentence for the method's card"
    if not method.__doc__ or method.__doc__.startswith(f"{method.__name__}("):
        return "the class has no docstring"
    if method.trains and not method.tunes_backbone and not isinstance(method.paper, Paper):
        return "paper is missing"
    found = method.published(trial.network().name)
    if not all(isinstance(one, Published) and isinstance(one.method, Method) for one in found):
        return f"published() returns {found!r}, expected a list of Published"
    return None


def frozen_dataclass(trial: ToyTrial) -> str | None:
    """Check that the options are immutable and can be stored, and that the same method is built from stored options."""
    kind = type(trial.method)
    if "__dataclass_params__" not in vars(kind):
        return "not a frozen dataclass: put @dataclass(frozen=True) above the class"
    for field in fields(kind):
        if field.default_factory is not MISSING and field.default_factory() != field.default_factory():
            return f"the default of option {field.name} is different each time"
    written = json.dumps(trial.method.options())
    restored = kind(**json.loads(written))
    if restored != trial.method or hash(restored) != hash(trial.method):
        return "the method's options change when written as JSON and read again"
    trial.adapted()
    return None if json.dumps(trial.method.options()) == written else "adapting a network changes the method's options"


def in_a_grid(trial: ToyTrial) -> str | None:
    """Check that a grid item that states all options of a method is parsed as this method."""
    method = trial.method
    options = "; ".join(f"{name}={spelled(value)}" for name, value in method.options().items())
    for text in (f"{method.name}[{options}]", method.label):
        if grid.methods(text, {method.name: type(method)}) != [method]:
            return f"a grid parses {text!r} as a different method"
    return None


def sizes(trial: ToyTrial) -> str | None:
    """Check that a method of a larger size has more parameters, and that size 0 raises an error."""
    option = trial.method.size
    if option is None:
        return None
    counts = [_count(trial.adapted(method=replace(trial.method, **{option: value}))) for value in (1, 2, 3)]
    if not counts[0] < counts[1] < counts[2]:
        return f"{option} = 1, 2, 3 gives {counts[0]}, {counts[1]}, {counts[2]} parameters; expected increasing numbers"
    try:
        replace(trial.method, **{option: 0})
    except PetlirError:
        return None
    return f"{option} = 0 is not rejected with a PetlirError"


def _count(adapted: Adapted) -> int:
    return sum(parameter.numel() for parameter in adapted.trainable().values())


def options_act(trial: ToyTrial) -> str | None:
    """Check that every numeric and boolean option changes the stored size or the result of a few training steps."""
    idle = [name for name in _numbers(trial.method) if name != trial.method.size]
    for method in _roomy(trial.method):
        if idle and method.supports(trial.network()) is None:
            with suppress(PetlirError):
                before = _outcome(trial, method)
                idle = [name for name in idle if _idle(trial, method, name, before)]
    return f"other values of {', '.join(idle)} change neither the size nor the output" if idle else None


def _roomy(method: Method) -> Iterator[Method]:
    """Yield the method itself, then the method at larger sizes."""
    yield method
    if method.size:
        yield from (replace(method, **{method.size: room}) for room in ROOMS)


def _numbers(method: Method) -> Iterator[str]:
    """Yield the names of the numeric and boolean options."""
    types = get_type_hints(type(method))
    for name in method.options():
        if {int, float, bool} & {types[name], *get_args(types[name])}:
            yield name


def _idle(trial: ToyTrial, method: Method, option: str, before: Outcome) -> bool:
    """Return whether an option has other valid values, none of which changes the stored size or the output."""
    tried = False
    for value in _others(method, option):
        with suppress(PetlirError):
            other = replace(method, **{option: value})
            if other.supports(trial.network()) is None:
                count, output = _outcome(trial, other)
                if count != before[0] or not output.equal(before[1]):
                    return False
                tried = True
    return tried


def _others(method: Method, option: str) -> list[float]:
    value, types = getattr(method, option), get_type_hints(type(method))
    if isinstance(value, bool):
        return [not value]
    if value is None:
        return [0.5, 2.0] if float in get_args(types[option]) else [1, 2]
    others = (1, 2 * value, value // 2, value + 1) if isinstance(value, int) else (2 * value, value / 2, value + 0.5)
    return [other for other in others if other != value]


def _outcome(trial: ToyTrial, method: Method) -> Outcome:
    """Return the number of stored values, and the output after a few training steps."""
    adapted = trial.adapted(method=method)
    trial.train(adapted)
    return sum(tensor.numel() for tensor in adapted.state().values()), trial.output(adapted.backbone)
