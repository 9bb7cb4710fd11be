"""Query, key and value stand apart here, as methods act on each; official files hold them as one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

PROJECTIONS = ("query", "key", "value")
"""In the order in which they are packed."""

Packed = Mapping[str, tuple[str, ...]]
"""The ending of an official key, and of the three keys here."""


def apart(ending: str) -> tuple[str, ...]:
    """The endings of the three keys here, e.g. `.query.weight` for `.weight`."""
    return tuple(f".{name}{ending}" for name in PROJECTIONS)


def unpack(state: Mapping[str, Tensor], packed: Packed, constants: Iterable[str] = ()) -> dict[str, Tensor]:
    """Official keys to ours: packed tensors taken apart, `constants` (endings of keys) dropped."""
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
    """Our keys to the official ones."""
    official = dict(state)
    for ending, parts in packed.items():
        for stem in [key.removesuffix(parts[0]) for key in state if key.endswith(parts[0])]:
            official[stem + ending] = torch.cat([official.pop(stem + part) for part in parts])
    return official
