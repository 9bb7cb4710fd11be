"""Measurement of images by metrics, in batches of images of equal size.

A metric that cannot be created, or does not support an image, is reported as *not available*, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import FAULTS

AT_ONCE = 2**21
"""The maximum number of pixels in a batch of several images."""

Look = Callable[[], tuple[Image, Image]]
"""A function that reads a restored image and its clean image, H×W×3 on the scale 0..255."""
Model = Callable[[Tensor, Tensor], Tensor]
"""A function that returns N scores for N restored and N clean images, both N×3×H×W in [0, 1]."""


@dataclass(frozen=True)
class Measurement:
    """The values of a metric on some images.

    Attributes:
        name: the name of the metric.
        better: whether higher or lower values are better.
        colour: the colour space or channels that the metric uses.
        library: the library that computed the metric, with the library's version.
        unavailable: the reason why there are no values; None if there are values.
        values: one value for each image.
    """

    name: str
    better: Literal["higher", "lower"]
    colour: str
    library: str
    unavailable: str | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A metric that is ready to score, or the reason why it is unavailable."""

    about: Measurement
    model: Model | None = field(default=None, repr=False)

    def without(self, reason: str) -> Prepared:
        """Return the metric, marked as unavailable for this reason."""
        return Prepared(replace(self.about, unavailable=reason))


def measure(prepared: Mapping[str, Prepared], images: Mapping[str, Look], device: str) -> list[Measurement]:
    """Score each restored image by each metric; the values are in the order of the images.

    Args:
        prepared: the metrics by name.
        images: name → function that reads the restored and the clean image, which have equal sizes.
        device: the device to compute on.

    Raises:
        PetlirError: an image cannot be read.
    """
    made = dict(prepared)
    values: dict[str, dict[str, float]] = {name: {} for name in made}
    for names in _batches(images):
        restored, clean = (_batch(side, device) for side in zip(*(images[name]() for name in names), strict=True))
        for metric, one in made.items():
            if one.model is not None:
                try:
                    values[metric] |= zip(names, _values(one.model, restored, clean), strict=True)
                except FAULTS as error:
                    made[metric] = one.without(f"{names[0]}: {described(error)}")
    return [
        replace(one.about, values=tuple(values[metric][name] for name in images) if one.model else ())
        for metric, one in made.items()
    ]


def _batches(images: Mapping[str, Look]) -> Iterator[list[str]]:
    """Yield names in batches of images of equal size; several images together have at most `AT_ONCE` pixels."""
    sizes = {name: look()[1].shape[:2] for name, look in images.items()}
    for (height, width), group in groupby(sorted(sizes, key=sizes.__getitem__), key=sizes.__getitem__):
        names, count = list(group), max(1, AT_ONCE // (width * height))
        yield from (names[start : start + count] for start in range(0, len(names), count))


def _batch(images: Sequence[Image], device: str) -> Tensor:
    """Convert H×W×3 images to an N×3×H×W batch in [0, 1]."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255


def _values(model: Model, restored: Tensor, clean: Tensor) -> list[float]:
    """Return one value per image; raise ValueError if a value is not finite or the number of values is wrong."""
    with _repeatable(restored.device), torch.no_grad():
        found: object = model(restored, clean)
        values: list[float] = found.detach().double().flatten().tolist() if isinstance(found, Tensor) else []
    if len(values) != len(restored):
        raise ValueError("it does not give a single value per image")
    if not np.isfinite(values).all():
        raise ValueError("its value is not a finite number")
    return values


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Seed the random number generators for metrics that use random crops, and restore their state afterwards."""
    state = np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(state)


def described(error: BaseException) -> str:
    """Return the first line of an error with its type, as some errors have no message."""
    return ": ".join(filter(None, [type(error).__name__, *str(error).strip().splitlines()[:1]]))
