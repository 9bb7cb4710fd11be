"""Library functions that a plugin must leave unchanged, and the restoration of the state that it has changed."""

from __future__ import annotations

import builtins
import functools
import math
import operator
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch
from torch.nn import functional, init

from petlir.benchmark.containment import contained
from petlir.benchmark.contract.settings import SETTINGS

LIBRARIES = (torch, torch.nn, functional, init, torch.fft, torch.linalg, torch.optim, np, np.random)
STANDARD = (builtins, math, os, random)
Function = Callable[..., object]
Place = tuple[ModuleType | type, str]
"""A module or class, and the name of a function in it."""
Attributes = Mapping[ModuleType | type, Mapping[str, object]]
"""The attributes of modules and classes, by name."""


def functions() -> Attributes:
    """Return the functions of torch, numpy, petlir and some standard modules, and the methods of their classes."""
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("petlir.benchmark.")]
    kinds = {torch.Tensor, *_classes(torch.nn, "torch."), *(kind for one in ours for kind in _classes(one, "petlir."))}
    owners: list[ModuleType | type] = [*LIBRARIES, *STANDARD, *ours, *kinds]
    return {owner: dict(vars(owner)) for owner in owners}


def _classes(module: ModuleType, root: str) -> list[type]:
    return [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__.startswith(root)]


def replaced(before: Attributes) -> dict[Place, object]:
    """Return the functions in `before` that have been replaced since, with their original values."""
    changed = [owner for owner, known in before.items() if not _same(known, vars(owner))]
    return {
        (owner, name): value
        for owner in changed
        for name, value in before[owner].items()
        if callable(value) and vars(owner).get(name) is not value
    }


def _same(known: Mapping[str, object], now: Mapping[str, object]) -> bool:
    """Compare attributes by identity, without a slow Python loop; most of the ~600 modules and classes never change."""
    return len(known) == len(now) and all(map(operator.is_, known.values(), now.values()))


def defined_by(plugin: str, known: Attributes) -> list[str]:
    """Return the names of library functions in `known` that refer to functions of a plugin's module instead."""
    return [
        spelled((owner, name))
        for owner, attributes in known.items()
        if not owner.__name__.startswith("petlir.")
        for name, value in attributes.items()
        if callable(value) and _origin(value) == plugin
    ]


def _origin(value: object) -> str:
    """Return the name of the module that defines a function, or the class of a callable object."""
    inner = value.func if isinstance(value, functools.partial) else value
    return str(getattr(inner, "__module__", None) or type(inner).__module__)


def spelled(place: Place) -> str:
    """Return the qualified name of a function, such as `torch.relu`."""
    owner, name = place
    prefix = f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
    return f"{prefix}.{name}"


@contextmanager
def preserved(known: Attributes) -> Iterator[None]:
    """Restore random states, settings and replaced functions after the block, in which the code is contained.

    Args:
        known: the functions to restore, from an earlier call of `functions`, because the call is slow.
    """
    restoring = [setting.keep() for setting in SETTINGS.values()]
    with contained():
        try:
            yield
        finally:
            for (owner, name), value in replaced(known).items():
                setattr(owner, name, value)
            for restore in restoring:
                restore()
