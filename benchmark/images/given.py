"""Images passed to the Python API: arrays, PIL images and tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import rgb
from petlir.benchmark.restoration.restore import to_batch, to_image

AnyImage = NDArray[np.generic] | PIL.Image.Image | Tensor
"""An H×W×3 array (uint8, or float in [0, 1]), a PIL image, or an N×3×H×W tensor in [0, 1]."""
Kind = TypeVar("Kind", bound=AnyImage)
EXPECTED = "expected an H×W×3 array (uint8, or float in [0, 1]), a PIL image, or an N×3×H×W tensor in [0, 1]"


@dataclass(frozen=True)
class Given:
    """Images in the network's format, and the conversion back to the caller's type.

    Attributes:
        batch: N×3×H×W in [0, 1].
        back: function that converts restored images, N×3×H×W and not clipped, to the caller's type.
    """

    batch: Tensor
    back: Callable[[Tensor], AnyImage]


def given(image: object, what: str = "the image") -> Given:
    """Convert images of any supported type to a batch.

    Args:
        image: an H×W×3 array (uint8, or float in [0, 1]), a PIL image, or an N×3×H×W tensor in [0, 1].
        what: name of the image in error messages.

    Raises:
        PetlirError: the type or shape of the image is not supported, or its values are outside [0, 1].
    """
    match image:
        case PIL.Image.Image():
            return Given(to_batch(rgb(image, what)), lambda restored: PIL.Image.fromarray(to_image(restored)))
        case np.ndarray():
            return _of_array(image, what)
        case Tensor():
            return _of_tensor(image, what)
        case _:
            raise PetlirError(f"{what} is of type {type(image).__name__}; {EXPECTED}")


def _of_array(image: NDArray[np.generic], what: str) -> Given:
    floats = np.issubdtype(image.dtype, np.floating)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or not (floats or image.dtype == np.uint8):
        raise PetlirError(f"{what} is an array of {image.dtype}, {_sides(image.shape)}; {EXPECTED}")
    if image.dtype == np.uint8:
        return Given(to_batch(image.astype(np.uint8, copy=False)), to_image)
    batch = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
    _check_values(batch, what)
    return Given(batch.float(), partial(_to_array, dtype=image.dtype))


def _to_array(restored: Tensor, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    array: NDArray[np.generic] = restored[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy().astype(dtype)
    return np.ascontiguousarray(array)


def _of_tensor(images: Tensor, what: str) -> Given:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape or not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise PetlirError(f"{what} is a tensor of {kind}, {_sides(images.shape)}; {EXPECTED}")
    _check_values(images, what)
    return Given(images.float(), lambda restored: restored.clamp(0, 1).to(images))


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "without sides"


def _check_values(images: Tensor, what: str) -> None:
    low, high = (float(value) for value in images.aminmax())
    if not (low >= 0 and high <= 1):  # NaN fails both comparisons
        raise PetlirError(f"{what} has values from {low:g} to {high:g}; expected [0, 1]: scale or clip it first")
