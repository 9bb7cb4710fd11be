"""Conversion of packed query, key and value tensors of official files to separate projections for methods, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

PROJECTIONS = ("query", "key", "value")
"""The projections in the order in which official files pack them."""

Packed = Mapping[str, tuple[str, ...]]
"""The ending of an official key → the endings of the three keys that replace it in this project."""


def apart(ending: str) -> tuple[str, ...]:
    """Return the endings of the three keys that replace a packed key, e.g. `.query.weight`, … for `.weight`."""
    return tuple(f".{name}{ending}" for name in PROJECTIONS)


def unpack(state: Mapping[str, Tensor], packed: Packed, constants: Iterable[str] = ()) -> dict[str, Tensor]:
    """Convert official keys to the project's keys: split packed tensors; drop keys ending with one of `constants`."""
    ours: dict[str, Tensor] = {}
    for key, tensor in state.items():
        ending = next((ending for ending in packed if key.endswith(ending)), None)
        if ending is not None:
            parts = zip(packed[ending], tensor.tensor_split(3), strict=True)
            ours.update({key.removesuffix(ending) + part: values for part, values in parts})
        elif not key.endswith(tuple(constants)):
            ours[key] = tensor
    return ours


def pack(state: Mapping[str, Tensor], packed: Packed) -> dict[str, Tensor]:
    """Convert the project's keys to the official keys."""
    official = dict(state)
    for ending, parts in packed.items():
        for stem in [key.removesuffix(parts[0]) for key in state if key.endswith(parts[0])]:
            official[stem + ending] = torch.cat([official.pop(stem + part) for part in parts])
    return official
