"""Load third-party checkpoint files into a backbone, completely or not at all.

Official code saves a state dict at the top level of a file, or under a key of its training framework (BasicSR `params`
and `params_ema`, Lightning `state_dict`), sometimes with a wrapper's prefix in each key (`module.`, `net.`). A torch
file is a pickle and can contain code; it is read with `weights_only`, which rejects code without running it.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from petlir.benchmark import backbones
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.hub import first_line

WRAPPERS = ("params_ema", "params", "state_dict", "model")
"""Keys under which files store their weights, in search order; otherwise the weights are at the top level."""
PREFIXES = re.compile(r"(?:module\.|net\.)+")
EXPECTED = (
    f"expected a safetensors or torch file with a state dict, alone or under one of the keys {', '.join(WRAPPERS)}"
)
DAMAGE = (
    pickle.UnpicklingError, struct.error, RuntimeError, OSError, EOFError, ValueError, TypeError, LookupError,
    AttributeError, ArithmeticError, AssertionError,
)  # fmt: skip
"""Exceptions that torch raises for a file that is truncated, damaged, or not a checkpoint."""
MISFITS = (PetlirError, RuntimeError, ValueError)
"""Exceptions that a backbone raises for weights of another network."""

LATE = "diffusion"
"""The family of networks that is compared with a checkpoint only if no other network is similar: building its networks
imports a library, which takes seconds.
"""


def read(path: Path) -> dict[str, Tensor]:
    """Read the weights in a file into CPU memory; wrappers of the state dict and prefixes of its keys are removed.

    Raises:
        PetlirError: the file is missing, truncated or damaged, contains anything but weights, or is not a checkpoint.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise PetlirError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    # safetensors: the length of the header in eight bytes, then its JSON
    content = _read_safetensors(path) if head[8:] == b"{" else _read_torch(path)
    return _stripped(_unwrapped(content, path), path)


def load(backbone: Backbone, path: Path) -> None:
    """Load the weights in a file into `backbone`, which is unchanged unless all of them fit.

    Raises:
        PetlirError: the file cannot be read (see `read`), or the weights belong to another network, which the message
            names if it is known.
    """
    fill(backbone, read(path), str(path))


def fill(backbone: Backbone, weights: Mapping[str, Tensor], what: str) -> None:
    """Load weights with their official keys into `backbone`, which is unchanged unless all of them fit.

    Args:
        backbone: the network.
        weights: key → tensor on any device.
        what: name of the weights in error messages.

    Raises:
        PetlirError: the weights belong to another network, which the message names if it is known.
    """
    device = next(backbone.parameters()).device
    state = {key: tensor.to(device) for key, tensor in weights.items()}
    try:
        backbone.load_official(state)
    except MISFITS as error:
        likely = lookalikes(state)
        hint = f"; it looks like {' or '.join(likely)}" if likely else ""
        raise PetlirError(f"checkpoint {what}: {first_line(error)}{hint}") from error


def lookalikes(state: Mapping[str, Tensor]) -> list[str]:
    """Return the known backbones that accept this state dict, with the options that they must be built with.

    A family of networks lists options in `VARIANTS`; they are tried on the network that shares the most keys and shapes
    with the state dict, if this network shares at least half of them.
    """
    shapes = {key: tensor.to("meta") for key, tensor in state.items()}
    found = _alike(shapes, *_known(late=False))
    if found is None:
        found = _alike(shapes, *_known(late=True))
    return found or []


def _alike(
    shapes: Mapping[str, Tensor], families: Mapping[str, ModuleType], networks: Mapping[str, Backbone]
) -> list[str] | None:
    """Return the networks that accept these shapes; None if none does and none is similar (see `_share`)."""
    fitting = [name for name, network in networks.items() if _takes(network, shapes)]
    if fitting:  # keep a family's last fitting name: published networks are listed after those of free size
        return list({families[name]: name for name in fitting}.values())
    share, nearest = max(((_share(network, shapes), name) for name, network in networks.items()), default=(0, ""))
    if share < 0.5:
        return None
    return [
        f"{nearest} built with {', '.join(f'{key}={value!r}' for key, value in options.items())}"
        for options in vars(families[nearest]).get("VARIANTS", ())
        if _takes(_skeleton(families[nearest], nearest, options), shapes)
    ]


@cache
def _known(*, late: bool) -> tuple[dict[str, ModuleType], dict[str, Backbone]]:
    """Return the module of each built-in backbone, and each backbone with tensor shapes but without values.

    Args:
        late: whether to return the networks of `LATE`, or all others.
    """
    modules = [module for module in backbones.modules() if (module.__name__.rpartition(".")[2] == LATE) == late]
    families = {name: module for module in modules for name in vars(module).get("BACKBONES", {})}
    networks: dict[str, Backbone] = {}
    for name, module in families.items():
        with suppress(PetlirError):  # raised if a package that the network needs is not installed
            networks[name] = _skeleton(module, name, {})
    return families, networks


def _skeleton(family: ModuleType, name: str, options: dict[str, object]) -> Backbone:
    with without_memory():
        return backbones.construct(name, vars(family)["BACKBONES"][name], options)


def _takes(network: Backbone, shapes: Mapping[str, Tensor]) -> bool:
    try:
        network.load_official(shapes)
    except MISFITS:
        return False
    return True


def _share(network: Backbone, shapes: Mapping[str, Tensor]) -> float:
    """Return the number of keys with equal names and shapes, as a fraction of the keys of the smaller state dict.

    The network's own keys are compared, because assembling its official state dict on `meta` is slow.
    """
    own: Mapping[str, Tensor] = network.state_dict()
    shared = sum(key in shapes and shapes[key].shape == tensor.shape for key, tensor in own.items())
    return shared / min(len(own), len(shapes))


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, *DAMAGE) as error:
        raise PetlirError(f"checkpoint {path} is truncated or damaged: {first_line(error)}") from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        code = re.search(r"GLOBAL:? (\S+)", str(error))
        if code:
            raise PetlirError(
                f"checkpoint {path} holds {code[1]}, which is not a tensor and was not run; save only the state dict"
            ) from error
        raise PetlirError(f"checkpoint {path} is truncated, damaged or not a checkpoint; {EXPECTED}") from error


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    found = type(content).__name__
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
        if content and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
            return dict(content)
        strange = [f"{key}: {type(value).__name__}" for key, value in content.items() if not isinstance(value, Tensor)]
        found = ", ".join(strange[:3]) or "nothing"
    raise PetlirError(f"checkpoint {path} holds {found} instead of weights; {EXPECTED}")


def _stripped(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    ours: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key[match.end() :] if (match := PREFIXES.match(key)) else key
        if name in ours:
            raise PetlirError(
                f"checkpoint {path} holds {name!r} twice, with and without a prefix; expected one network"
            )
        ours[name] = tensor
    return ours
