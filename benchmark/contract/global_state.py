"""Random states, settings and functions of this process, which a plugin must leave unchanged."""

from __future__ import annotations

import builtins
import functools
import math
import operator
import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch.nn import functional, init
from torch.nn.modules import module as module_hooks

from petlir.benchmark.containment import without_exit

LIBRARIES = (torch, torch.nn, functional, init, torch.fft, torch.linalg, torch.optim, np, np.random)
STANDARD = (builtins, math, os, random)
TOOLCHAIN = {"CC", "CXX", "TORCHINDUCTOR_CACHE_DIR"}
"""Environment variables that torch and its extensions set when they are about to compile."""
Function = Callable[..., object]
Place = tuple[ModuleType | type, str]
"""A module or class, and the name of a function in it."""
Attributes = Mapping[ModuleType | type, Mapping[str, object]]
"""The attributes of modules and classes, by name."""


def global_state() -> dict[str, object]:
    """Return the value of each random state and setting of this process, keyed by a description."""
    return {
        "numpy's global random numbers": pickle.dumps(np.random.get_state()),
        "Python's global random numbers": random.getstate(),
        "torch's global random numbers": torch.get_rng_state().numpy().tobytes(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": str(torch.get_default_device()),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's precision of matrix products": torch.get_float32_matmul_precision(),
        "torch's threads": torch.get_num_threads(),
        "torch's hooks of all modules": [len(hooks) for hooks in _hooks()],
        "environment variables": {name: value for name, value in os.environ.items() if name not in TOOLCHAIN},
        "the current folder": Path.cwd(),
    }


def _hooks() -> list[dict[int, object]]:
    return [getattr(module_hooks, name) for name in ("_global_forward_hooks", "_global_forward_pre_hooks")]


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
    """Compare attributes by identity, without a slow Python loop; most of some 600 modules and classes never change."""
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
    """Restore random states, settings and replaced functions after the block; keep it from ending the process.

    Args:
        known: the functions to restore, from an earlier call of `functions`, because the call is slow.
    """
    numbers, generator = np.random.get_state(), random.getstate()
    threads, kind = torch.get_num_threads(), torch.get_default_dtype()
    environment, folder, hooks = dict(os.environ), Path.cwd(), [dict(each) for each in _hooks()]
    with without_exit(), torch.random.fork_rng(devices=[]), torch.set_grad_enabled(torch.is_grad_enabled()):
        try:
            yield
        finally:
            for (owner, name), value in replaced(known).items():
                setattr(owner, name, value)
            for now, then in zip(_hooks(), hooks, strict=True):
                now.clear()
                now.update(then)
            np.random.set_state(numbers)
            random.setstate(generator)
            torch.set_num_threads(threads)
            torch.set_default_dtype(kind)
            for name in set(os.environ) - set(environment):
                del os.environ[name]
            os.environ.update(environment)
            os.chdir(folder)
