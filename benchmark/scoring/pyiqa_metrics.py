"""The metrics of pyiqa by name, and whether higher or lower values are better.

pyiqa downloads the weights of a metric when the metric is created. If the download fails, the metric is reported as
*not available*, with the reason.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import lru_cache, partial
from threading import Thread
from types import ModuleType

import torch
from torch import Tensor

from petlir.benchmark.errors import FAULTS, PetlirError
from petlir.benchmark.scoring.measurement import Measurement, Prepared, described

PATIENCE = 120.0
"""Seconds allowed for creating a metric, including the download of its weights."""


def names() -> list[str]:
    """Return the names of all metrics of pyiqa.

    Raises:
        PetlirError: pyiqa is not installed.
    """
    found: list[str] = _pyiqa().list_models()
    return found


@lru_cache
def prepare(name: str, device: str) -> Prepared:
    """Create a metric, once per process; after `PATIENCE` seconds, return the metric as unavailable."""
    config = _pyiqa().api_helpers.DEFAULT_CONFIGS[name]
    one = Prepared(Measurement(name, "lower" if config.get("lower_better") else "higher", _colour(config), _library()))
    made: list[Prepared] = []

    def make() -> None:
        try:
            metric = _pyiqa().create_metric(name, device=torch.device(device))
            made.append(replace(one, model=partial(_scored, metric)))
        except FAULTS as error:
            made.append(one.without(f"it cannot be created here: {described(error)}"))

    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maker = Thread(target=make, daemon=True)
        maker.start()
        maker.join(PATIENCE)
    late = f"its weights were not downloaded within {PATIENCE:.0f} s; pyiqa.create_metric({name!r}) fetches them"
    return made[0] if made else one.without(late)


def _scored(metric: Callable[..., Tensor], restored: Tensor, clean: Tensor) -> Tensor:
    """Score images by a metric of pyiqa, which reads the clean images only if it is a full-reference metric."""
    found: Tensor = metric(restored, clean) if metric.metric_mode == "FR" else metric(restored)  # type: ignore[attr-defined]
    return found


def _colour(config: Mapping[str, Mapping[str, object]]) -> str:
    """Return the colour space of a metric, whose input is always RGB in [0, 1]."""
    options = config["metric_opts"]
    if not options.get("test_y_channel"):
        return "RGB in [0, 1]"
    return f"luma ({options.get('color_space', 'yiq')}, full range) of RGB in [0, 1]"


def _library() -> str:
    from importlib.metadata import version

    return f"pyiqa {version('pyiqa')}"


def _pyiqa() -> ModuleType:
    try:
        import pyiqa
        import pyiqa.api_helpers
    except ImportError as error:
        raise PetlirError(
            f"--metrics needs pyiqa ({described(error)}); install it with pip install 'petlir[iqa]'"
        ) from error
    module: ModuleType = pyiqa
    return module
