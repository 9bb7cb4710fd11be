"""A reproducible benchmark of parameter-efficient transfer learning in image restoration.

    network = petlir.load("petlir-store/cells/ipt-nano/denoise_30/adaptir-…")
    restored = network.restore(noisy)
    petlir.score(restored, clean, "rgb")
    petlir.run("petlir-store", methods="lora,adaptir", tasks="denoise_30").table()

Plugins implement the contracts `Method`, `Task`, `Backbone`, `Degradation`, `Metric` and `Paper`. All names are
imported on first use: `import petlir` alone imports neither torch nor pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from petlir.benchmark.api import Run, build, run, score
    from petlir.benchmark.backbone import Backbone
    from petlir.benchmark.cells.restorer import Restorer, load
    from petlir.benchmark.degradation import Degradation
    from petlir.benchmark.errors import PetlirError
    from petlir.benchmark.method import Method
    from petlir.benchmark.metric import Metric
    from petlir.benchmark.paper import Paper
    from petlir.benchmark.task import Task

__all__ = [
    "Backbone",
    "Degradation",
    "Method",
    "Metric",
    "Paper",
    "PetlirError",
    "Restorer",
    "Run",
    "Task",
    "build",
    "load",
    "run",
    "score",
]

_PLACES = {
    "api": ("Run", "build", "run", "score"),
    "backbone": ("Backbone",),
    "degradation": ("Degradation",),
    "errors": ("PetlirError",),
    "method": ("Method",),
    "metric": ("Metric",),
    "paper": ("Paper",),
    "cells.restorer": ("Restorer", "load"),
    "task": ("Task",),
}
"""The modules of `petlir.benchmark` and the names exported from each."""


def __getattr__(name: str) -> Any:
    """Import the exported object `name`."""
    for module, names in _PLACES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"petlir.benchmark.{module}"), name)
    raise AttributeError(f"module 'petlir' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the exported names."""
    return sorted([*globals(), *__all__])
