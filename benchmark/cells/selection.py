"""The rule for choosing a learning rate: eight trials per method, and one trial at the best rate with half the steps.

The trial with half the steps is called the half trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from petlir.benchmark.errors import counted
from petlir.benchmark.records.stored_forms import Curve, StoredHalf, StoredSelection, StoredTrial, TunedCell
from petlir.benchmark.statistics.convergence import NOT_TESTED, Convergence

COMMITTED = Path(__file__).parents[2] / "results" / "tuning"
"""The folder of the learning-rate selections that ship with the project."""
TRIALS = 8
"""Number of trials for every method; the first use the rates of the method's grid, the others rates near the best."""
FLAT = 0.01
"""Tolerance in dB: of neighbouring learning rates whose PSNR is this close to the best PSNR, the largest is chosen."""
STEP = 10**0.5


@dataclass(frozen=True)
class Half:
    """A half trial: training at the chosen learning rate for half of the steps.

    Attributes:
        steps: number of steps, over which the complete learning-rate schedule runs.
        psnr: final validation PSNR in dB, or None if training diverged.
        curve: training curve.
    """

    steps: int
    psnr: float | None
    curve: Curve


@dataclass(frozen=True)
class RateSelection:
    """The trials from which a learning rate is chosen.

    Attributes:
        key: digest of the selection context and the training budget.
        cell: description of the cell whose learning rate is chosen.
        trials: learning rate → final validation PSNR in dB, or None if training diverged.
        curves: learning rate → the trial's curve.
        halves: learning rate → its half trial.
    """

    key: str
    cell: TunedCell
    trials: Mapping[float, float | None]
    curves: Mapping[float, Curve]
    halves: Mapping[float, Half] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """The rate with the best validation PSNR, or a larger, about equally good rate; None if all trials diverged."""
        tried = sorted(self.trials)
        best = max(map(self._psnr, tried), default=-math.inf)
        if best == -math.inf:
            return None
        place = max(place for place, rate in enumerate(tried) if self._psnr(rate) == best)
        while place + 1 < len(tried) and self._psnr(tried[place + 1]) >= best - FLAT:
            place += 1
        return tried[place]

    def _psnr(self, rate: float) -> float:
        psnr = self.trials[rate]
        return -math.inf if psnr is None else psnr

    @property
    def half(self) -> Half | None:
        """The half trial of the chosen rate."""
        return None if self.rate is None else self.halves.get(self.rate)

    @property
    def convergence(self) -> Convergence | None:
        """The doubling test of the chosen learning rate, or None until the half trial is finished."""
        return Convergence(self._psnr(self.rate), self.half.psnr) if self.rate is not None and self.half else None

    @property
    def complete(self) -> bool:
        """True if all trials, including the half trial, are finished."""
        return len(self.trials) >= TRIALS and (self.rate is None or self.half is not None)

    def open_rates(self, rates: Sequence[float]) -> list[float]:
        """Return the learning rates to try next: untried rates of the grid or, if there are none, one near the best."""
        missing = [rate for rate in rates if rate not in self.trials]
        return missing or ([self._following()] if len(self.trials) < TRIALS else [])

    def _following(self) -> float:
        """Return the learning rate to try next.

        If the best rate is the lowest or the highest so far, the next rate lies beyond it; otherwise, the next rate
        lies between the best rate and its better neighbour. If all trials diverged, the next rate is lower than all
        tried rates.
        """
        tried, best = sorted(self.trials), self.rate
        if best is None or best == tried[0]:
            return nice(tried[0] / STEP)
        if best == tried[-1]:
            return nice(best * STEP)
        place = tried.index(best)
        mean = math.sqrt(best * max(tried[place - 1], tried[place + 1], key=self._psnr))
        rounded = float(f"{mean:.1e}")
        return mean if rounded in self.trials else rounded

    def counted(self, rates: Sequence[float]) -> RateSelection:
        """Return the selection restricted to the trials that the selection rule requests for a method's grid.

        Trials made under another rule do not count, so that every method has the same number of trials.
        """
        counted = replace(self, trials={rate: self.trials[rate] for rate in rates if rate in self.trials})
        while (more := counted.open_rates(rates)) and more[0] in self.trials:
            counted = replace(counted, trials={**counted.trials, more[0]: self.trials[more[0]]})
        return counted

    def joined(self, other: RateSelection) -> RateSelection:
        """Return the selection merged with the additional trials of another selection with the same key."""
        return replace(
            self,
            trials={**other.trials, **self.trials},
            curves={**other.curves, **self.curves},
            halves={**other.halves, **self.halves},
        )

    def to_dict(self) -> StoredSelection:
        """Return the learning-rate selection as a JSON object."""
        rows: list[StoredTrial] = [
            {"rate": rate, "validation_psnr": psnr, "curve": list(self.curves[rate])}
            for rate, psnr in sorted(self.trials.items())
        ]
        half: StoredHalf | Half | None = self.half and {
            "steps": self.half.steps, "validation_psnr": self.half.psnr, "curve": list(self.half.curve)
        }  # fmt: skip
        return {"key": self.key, "cell": dict(self.cell), "rate": self.rate, "trials": rows, "half": half}  # type: ignore[typeddict-item]

    def __str__(self) -> str:
        return f"{self._chosen()}; rates tried: {len(self.trials)}"

    def _chosen(self) -> str:
        if self.rate is None:
            return "diverged at every rate"
        at = f"{self.rate:g} ({self._psnr(self.rate):.2f} dB at {counted(self.cell['steps'], 'step')}"
        if self.half is None or self.convergence is None:
            return f"{at}, {NOT_TESTED})"
        shorter, change = self.half, self.convergence.change
        if shorter.psnr is None or change is None:
            return f"{at}, diverged at {shorter.steps}: {self.convergence.verdict})"
        return f"{at}, {shorter.psnr:.2f} at {shorter.steps}: {change:+.2f}, {self.convergence.verdict})"


def nice(rate: float) -> float:
    """Round a learning rate to 1 or 3 times a power of ten, like the rates in the grid."""
    return float(f"{10 ** (round(2 * math.log10(rate)) / 2):.0e}")


def parse(plain: StoredSelection) -> RateSelection:
    """Parse a selection from JSON; a selection without a half trial has not been tested for convergence."""
    trials = {row["rate"]: row["validation_psnr"] for row in plain["trials"]}
    curves = {row["rate"]: row["curve"] for row in plain["trials"]}
    half = plain.get("half")
    halves = {plain["rate"]: Half(half["steps"], half["validation_psnr"], half["curve"])} if half else {}
    return RateSelection(plain["key"], plain["cell"], trials, curves, halves)  # type: ignore[arg-type]
