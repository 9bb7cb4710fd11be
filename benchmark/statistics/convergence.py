"""The doubling test: a method has converged if a full schedule of half as many steps gives nearly the same PSNR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

LIMIT = 0.1
"""The smallest change of the validation PSNR from T/2 to T steps, in dB, that counts as not converged."""
FEWEST_METHODS = 6
"""The minimum number of converged PETL methods in a ranked column."""
RULE = (
    "Convergence is tested by doubling the number of training steps. At the learning rate chosen for T steps, one "
    "network is trained for T steps and another for T/2 steps, each with a full learning-rate schedule and with the "
    "seed of the learning-rate search; a method has converged if its PSNR on validation images changes by less than "
    "0.1 dB from T/2 to T steps. A column is ranked only if at least six PETL methods have converged; all other "
    "methods are listed below the ranking with their change in PSNR. References (frozen, input, cascade, scratch and "
    "full-ft) are never ranked and never prevent a ranking. Smoke runs are not ranked."
)
"""The rule as stated in the documentation, on report pages and in the last lines that a run prints."""
CONVERGED, NOT_CONVERGED, NOT_TESTED = "converged", "not converged", "not tested"


def half_of(steps: int) -> int:
    """Return half of the number of steps T, rounded up."""
    return math.ceil(steps / 2)


@dataclass(frozen=True)
class Convergence:
    """The outcome of the doubling test.

    Attributes:
        psnr: validation PSNR after T steps, in dB.
        half_psnr: validation PSNR after T/2 steps, in dB; None if training for T/2 steps diverged.
    """

    psnr: float
    half_psnr: float | None

    @property
    def change(self) -> float | None:
        """PSNR(T) − PSNR(T/2) in dB; None if training for T/2 steps diverged."""
        return None if self.half_psnr is None else self.psnr - self.half_psnr

    @property
    def converged(self) -> bool:
        """True if the absolute change in PSNR is below `LIMIT`."""
        return self.change is not None and abs(self.change) < LIMIT

    @property
    def verdict(self) -> str:
        """`converged` or `not converged`."""
        return CONVERGED if self.converged else NOT_CONVERGED

    def __str__(self) -> str:
        return "diverged at half the steps" if self.change is None else f"{self.change:+.2f} dB"

    def to_dict(self) -> dict[str, float | None]:
        """Return the test as stored in a record."""
        return {"psnr": self.psnr, "half_psnr": self.half_psnr, "change": self.change}


class Tested(Protocol):
    """The doubling test as read from a record."""

    @property
    def psnr(self) -> float:
        """Validation PSNR after T steps, in dB."""

    @property
    def half_psnr(self) -> float | None:
        """Validation PSNR after T/2 steps, in dB; None if training for T/2 steps diverged."""


def convergence(tested: Tested | None) -> Convergence | None:
    """Return the result of the doubling test that a record contains; None if it contains none, as in older records."""
    return Convergence(tested.psnr, tested.half_psnr) if tested else None


def converged(tested: Tested | None) -> bool | None:
    """Return whether the cell has converged by the doubling test in its record; None if the record has no test."""
    found = convergence(tested)
    return found.converged if found else None
