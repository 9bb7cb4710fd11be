"""The contract of a metric: how good a restored image is, as one number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor


class Metric(ABC):
    """A number for how close restored images are to the clean ones, or how good they look."""

    name: ClassVar[str]
    """Its key in scores, e.g. `psnr`."""
    title: ClassVar[str]
    """Its name on a page."""
    unit: ClassVar[str] = ""
    """Its unit, e.g. `dB`; empty where it has none."""
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, restored: Tensor, clean: Tensor) -> float:
        """Score restored against clean images, both N×3×H×W in [0, 1]; the mean over the N images.

        Raises:
            PetlirError: the sizes differ, or are too small.
        """
