"""The contract of a metric: the quality of a restored image as one number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor


class Metric(ABC):
    """A measure of the similarity of restored and clean images, or of the perceptual quality of restored images."""

    name: ClassVar[str]
    """The metric's key in scores, such as `psnr`."""
    title: ClassVar[str]
    """The metric's display name in reports."""
    unit: ClassVar[str] = ""
    """The metric's unit, such as `dB`; empty for a dimensionless metric."""
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, restored: Tensor, clean: Tensor) -> float:
        """Return the mean score of N restored images against the clean ones, both N×3×H×W in [0, 1].

        Raises:
            PetlirError: the images differ in size, or are too small.
        """
