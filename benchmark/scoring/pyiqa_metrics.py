"""All metrics of pyiqa by name, in batches of equal size on the device, with their directions.

pyiqa downloads weights when a metric is created. A metric that fails is *not available*, with the reason; no invalid
value is returned.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http.client import HTTPException
from itertools import groupby
from threading import Thread
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark import errors
from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError, unknown

PATIENCE = 120.0
"""Seconds allowed for creating a metric, including the download of its weights."""
AT_ONCE = 2**21
"""Maximum number of pixels in a batch."""
FAULTS = (*errors.FAULTS, OSError, ImportError, HTTPException)
"""Exceptions of a metric: no network access, a missing library, an image that is too small."""

Look = Callable[[], tuple[Image, Image]]
"""Reads a restored image and its clean image, H×W×3 uint8."""


@dataclass(frozen=True)
class Metric:
    """A metric's results on a set of images.

    Attributes:
        name: name in pyiqa.
        better: direction of better values.
        colour: colour space of its computation.
        library: the library and its version.
        unavailable: why there are no values; None if there are.
        values: one for each image.
    """

    name: str
    better: Literal["higher", "lower"]
    colour: str
    library: str
    unavailable: str | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Made:
    """A metric of pyiqa, or the reason why it is not available."""

    about: Metric
    model: Any = field(default=None, repr=False)

    def without(self, reason: str) -> _Made:
        """Return the metric as not available."""
        return _Made(replace(self.about, unavailable=reason))


def metrics(names: str) -> tuple[str, ...]:
    """Parse a comma-separated list of metrics, without duplicates.

    Raises:
        PetlirError: pyiqa is not installed, or does not have a metric of this name.
    """
    found = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    valid = _pyiqa().list_models() if found else ()
    for name in found:
        if name not in valid:
            raise unknown("metric", name, valid)
    return found


def measured(names: Iterable[str], images: Mapping[str, Look], device: str) -> list[Metric]:
    """Return the results of each metric on each restored image, in the order of the images.

    Args:
        names: names of metrics, see `metrics`.
        images: functions that read the restored and the clean image, of equal size, by name.
        device: the compute device.

    Raises:
        PetlirError: an image cannot be read.
    """
    made = {name: _make(name, device) for name in names}
    values: dict[str, dict[str, float]] = {name: {} for name in made}
    for some in _batches(images):
        restored, clean = (_batch(side, device) for side in zip(*(images[image]() for image in some), strict=True))
        for name, one in made.items():
            if one.about.unavailable is None:
                try:
                    values[name] |= zip(some, _values(one.model, restored, clean), strict=True)
                except FAULTS as error:
                    made[name] = one.without(f"{some[0]}: {_line(error)}")
    return [
        replace(one.about, values=() if one.about.unavailable else tuple(values[name][image] for image in images))
        for name, one in made.items()
    ]


def _batches(images: Mapping[str, Look]) -> Iterator[list[str]]:
    """Yield batches of names of equally sized images, up to the maximum number of pixels."""
    sizes = {name: look()[1].shape[:2] for name, look in images.items()}
    for (height, width), group in groupby(sorted(sizes, key=sizes.__getitem__), key=sizes.__getitem__):
        names, count = list(group), max(1, AT_ONCE // (width * height))
        yield from (names[start : start + count] for start in range(0, len(names), count))


def _batch(images: Sequence[Image], device: str) -> Tensor:
    """Return images as N×3×H×W in [0, 1]."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255


def _values(model: Any, restored: Tensor, clean: Tensor) -> list[float]:
    """Return one value per image; raise ValueError if a value is not finite, or their number is wrong."""
    with _repeatable(restored.device), torch.no_grad():
        found = model(restored, clean) if model.metric_mode == "FR" else model(restored)
    values: list[float] = found.detach().double().flatten().tolist() if isinstance(found, Tensor) else []
    if len(values) != len(restored):
        raise ValueError("it gives no single value for an image")
    if not np.isfinite(values).all():
        raise ValueError("its value is not a finite number")
    return values


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Make metrics with random crops repeatable, without affecting other random numbers."""
    state = np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(state)


@lru_cache
def _make(name: str, device: str) -> _Made:
    """Create a metric, once per process; give up after `PATIENCE` seconds."""
    config = _pyiqa().api_helpers.DEFAULT_CONFIGS[name]
    one = _Made(Metric(name, "lower" if config.get("lower_better") else "higher", _colour(config), _library()))
    made: list[_Made] = []

    def make() -> None:
        try:
            made.append(replace(one, model=_pyiqa().create_metric(name, device=torch.device(device))))
        except FAULTS as error:
            made.append(one.without(f"it cannot be made here: {_line(error)}"))

    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maker = Thread(target=make, daemon=True)
        maker.start()
        maker.join(PATIENCE)
    late = f"its weights did not come within {PATIENCE:.0f} s; pyiqa.create_metric({name!r}) fetches them"
    return made[0] if made else one.without(late)


def _colour(config: dict[str, Any]) -> str:
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
        raise PetlirError(f"--metrics needs pyiqa ({_line(error)}); pip install 'petlir[iqa]' gets it") from error
    module: ModuleType = pyiqa
    return module


def _line(error: BaseException) -> str:
    """Return the first line of an error with its type, as some have no message."""
    return ": ".join(filter(None, [type(error).__name__, *str(error).strip().splitlines()[:1]]))
