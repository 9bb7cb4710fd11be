"""Random states and settings of this process, which a plugin must leave unchanged."""

from __future__ import annotations

import logging
import os
import pickle
import random
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np
import torch
from torch.nn.modules import module as module_hooks

T = TypeVar("T")
TOOLCHAIN = {"CC", "CXX", "TORCHINDUCTOR_CACHE_DIR"}
"""Environment variables that torch and its extensions set when they are about to compile."""
CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")
HOOKS = tuple(name for name in vars(module_hooks) if name.startswith("_global_") and name.endswith("_hooks"))


@dataclass(frozen=True)
class Setting:
    """A setting of this process.

    Attributes:
        read: returns the present value.
        keep: returns a function that restores the present value.
    """

    read: Callable[[], object]
    keep: Callable[[], Callable[[], None]]


def _setting(read: Callable[[], T], write: Callable[[T], object]) -> Setting:
    def keep() -> Callable[[], None]:
        before = read()

        def restore() -> None:
            if read() != before:
                write(before)

        return restore

    return Setting(read, keep)


def _torch_numbers() -> bytes:
    return torch.get_rng_state().numpy().tobytes()


def _set_torch_numbers(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _set_device(name: str) -> None:
    torch.set_default_device(None if name == "cpu" else name)


def _cudnn() -> list[object]:
    return [getattr(torch.backends.cudnn, name) for name in CUDNN]


def _set_cudnn(values: list[object]) -> None:
    for name, value in zip(CUDNN, values, strict=True):
        setattr(torch.backends.cudnn, name, value)


def _hooks() -> list[dict[int, object]]:
    return [dict(getattr(module_hooks, name)) for name in HOOKS]


def _set_hooks(before: list[dict[int, object]]) -> None:
    for name, then in zip(HOOKS, before, strict=True):
        now = getattr(module_hooks, name)
        now.clear()
        now.update(then)


def _set_streams(before: tuple[TextIO, TextIO]) -> None:
    sys.stdout, sys.stderr = before


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if not thread.daemon]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in TOOLCHAIN}


def _set_environment(before: dict[str, str]) -> None:
    for name in set(_environment()) - set(before):
        del os.environ[name]
    os.environ.update(before)


SETTINGS: Mapping[str, Setting] = {
    "numpy's global random numbers": _setting(
        lambda: pickle.dumps(np.random.get_state()), lambda state: np.random.set_state(pickle.loads(state))
    ),
    "numpy's handling of floating-point errors": _setting(np.geterr, lambda before: np.seterr(**before)),
    "Python's global random numbers": _setting(random.getstate, random.setstate),
    "Python's recursion limit": _setting(sys.getrecursionlimit, sys.setrecursionlimit),
    "running threads": _setting(_threads, lambda before: None),  # a thread cannot be stopped from outside
    "Python's trace function": _setting(sys.gettrace, sys.settrace),
    "standard output and error": _setting(lambda: (sys.stdout, sys.stderr), _set_streams),
    "the level at which logging is disabled": _setting(lambda: logging.root.manager.disable, logging.disable),
    "torch's global random numbers": _setting(_torch_numbers, _set_torch_numbers),
    "torch's default dtype": _setting(torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": _setting(lambda: str(torch.get_default_device()), _set_device),
    "torch's gradient mode": _setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's anomaly detection": _setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "torch's autocast": _setting(
        lambda: torch.is_autocast_enabled("cpu"), lambda before: torch.set_autocast_enabled("cpu", before)
    ),
    "torch's deterministic mode": _setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    ),
    "torch's matrix multiplication precision": _setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "torch's cuDNN settings": _setting(_cudnn, _set_cudnn),
    "torch's threads": _setting(torch.get_num_threads, torch.set_num_threads),
    "torch's global module hooks": _setting(_hooks, _set_hooks),
    "environment variables": _setting(_environment, _set_environment),
    "the current folder": _setting(Path.cwd, os.chdir),
}
"""The settings by description."""


def global_state() -> dict[str, object]:
    """Return the value of each setting, by its description."""
    return {name: setting.read() for name, setting in SETTINGS.items()}
