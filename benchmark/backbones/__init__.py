"""The backbones, one file per family."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import PetlirError, unknown

Builder = Callable[..., Backbone]
"""A function that builds a backbone on the CPU with random weights; keyword arguments are the backbone's options."""


def modules() -> Iterator[ModuleType]:
    """Yield the modules of this folder; a module that defines backbones lists them in `BACKBONES`."""
    for entry in pkgutil.iter_modules(__path__):
        yield importlib.import_module(f"{__name__}.{entry.name}")


def build(name: str, **options: object) -> Backbone:
    """Build the network `name` on the CPU with random weights.

    Args:
        name: name of a network, e.g. `ipt`, `edt-b`, `nafnet-32` or `restormer`, or of a family whose sizes are
            options, e.g. `nafnet`.
        options: options of the family, e.g. `heads=("sr_x4",)` for networks with several heads, `pooling="windowed"`.

    Raises:
        PetlirError: the backbone or one of its options is unknown.
    """
    builders = {key: builder for module in modules() for key, builder in vars(module).get("BACKBONES", {}).items()}
    if name not in builders:
        raise unknown("backbone", name, builders)
    return construct(name, builders[name], options)


def construct(name: str, builder: Builder, options: dict[str, object]) -> Backbone:
    """Call a builder; for an unknown option, raise an error that suggests the nearest valid option."""
    valid = [key for key, parameter in inspect.signature(builder).parameters.items() if parameter.kind != VARIADIC]
    for option in options:
        if option not in valid:
            raise unknown(f"option of backbone {name}", option, valid)
    try:
        return builder(**options)
    except TypeError as error:
        raise PetlirError(f"backbone {name}: {error}") from error


VARIADIC = inspect.Parameter.VAR_KEYWORD
