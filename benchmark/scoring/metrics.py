"""Lookup of metrics by name: the registered metrics (PSNR, SSIM and metrics of plugins) and all metrics of pyiqa."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from petlir.benchmark.errors import FAULTS, PetlirError, unknown
from petlir.benchmark.metric import Metric
from petlir.benchmark.scoring import pyiqa_metrics
from petlir.benchmark.scoring.measurement import Look, Measurement, Prepared, described, measure


@dataclass(frozen=True)
class Registered:
    """A metric that is implemented in this project or in a plugin.

    Attributes:
        make: builds the metric with its defaults; PSNR and SSIM then use the protocol `rgb`.
        library: the library that computes the metric, with the library's version.
    """

    make: Callable[[], Metric]
    library: str


def choose(text: str, registered: Mapping[str, Registered]) -> tuple[str, ...]:
    """Return the distinct names of metrics in a comma-separated list.

    Args:
        text: the list.
        registered: see `petlir.benchmark.plugins.Plugins.registered_metrics`.

    Raises:
        PetlirError: a name is unknown, or a metric is not registered and pyiqa is not installed.
    """
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    others = [name for name in found if name not in registered]
    try:
        valid = set(pyiqa_metrics.names()) if others else set()
    except PetlirError as error:
        there = ", ".join(registered)
        raise PetlirError(f"{error}; without it, only {there} are available, not {others[0]!r}") from error
    for name in others:
        if name not in valid:
            raise unknown("metric", name, {*registered, *valid})
    return found


def measured(
    names: Iterable[str], images: Mapping[str, Look], device: str, registered: Mapping[str, Registered]
) -> list[Measurement]:
    """Score each restored image by each metric; the values are in the order of the images.

    Args:
        names: see `choose`.
        images: name → function that reads the restored and the clean image, which have equal sizes.
        device: the device to compute on.
        registered: the metrics implemented in this project or in plugins, by name.

    Raises:
        PetlirError: an image cannot be read.
    """
    prepared = {
        name: _prepared(name, registered[name]) if name in registered else pyiqa_metrics.prepare(name, device)
        for name in names
    }
    return measure(prepared, images, device)


def _prepared(name: str, registered: Registered) -> Prepared:
    """Build a registered metric, which scores one image at a time."""
    one = Prepared(Measurement(name, "higher", "RGB in [0, 1]", registered.library))
    try:
        metric = registered.make()
    except FAULTS as error:
        return one.without(f"it cannot be created here: {described(error)}")
    about = replace(one.about, better="higher" if metric.higher_is_better else "lower")

    def model(restored: Tensor, clean: Tensor) -> Tensor:
        pairs = zip(restored, clean, strict=True)
        return torch.tensor([metric(one[None], other[None]) for one, other in pairs], dtype=torch.float64)

    return Prepared(about, model)
