"""Median costs of each method over all tasks of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from petlir.benchmark.records.recorded_costs import RecordedCosts
from petlir.benchmark.records.schema import Record

PARTS = ("weights", "gradients", "optimizer", "activations")
"""Components of training memory, in the order of the bars."""


@dataclass(frozen=True)
class MedianCosts:
    """Median costs over the cells of one method, in bytes, seconds and joules; None if no cell measured them.

    Attributes:
        trainable: number of trainable parameters.
        share: trainable parameters divided by all parameters of the backbone, in [0, 1].
        stored: bytes of the adapter file's tensors.
        saved: bytes saved for the backward pass of one step.
        flops: floating-point operations of a training step.
        step: median seconds of a training step.
        training: seconds of the whole training, including the method's prior analyses.
        required: seconds of training this cell and the cells that it requires.
        inference: seconds of inference per megapixel of output.
        merged: seconds of inference per megapixel of output after the method is merged into the weights.
        energy: joules consumed by training.
        waiting: fraction of the training time spent waiting for batches, in [0, 1].
        memory: bytes of training memory by component, in the order of `PARTS`.
        peak: peak memory in bytes, as measured by the device.
        exclusive: whether no other work ran on the device; if False, times are not reliable.
    """

    trainable: float
    share: float
    stored: float
    saved: float
    flops: float
    step: float | None
    training: float
    required: float
    inference: float
    merged: float | None
    energy: float | None
    waiting: float | None
    memory: tuple[float, ...]
    peak: float | None
    exclusive: bool


def costs_of(cells: Iterable[Record], backbone: float | None) -> MedianCosts | None:
    """Return the median costs of one method; None if no cell is finished.

    Args:
        cells: the records of the method.
        backbone: number of parameters of the backbone, see `backbone_size`; if None, the total of the adapted model.
    """
    found = [record.costs for record in cells if record.state == "done"]
    if not found:
        return None
    trainable = median(cost.trainable for cost in found)
    total = backbone or median(cost.total for cost in found)
    return MedianCosts(
        trainable,
        trainable / total,
        median(cost.stored_bytes for cost in found),
        median(cost.saved_for_backward_bytes for cost in found),
        median(cost.flops_per_step for cost in found),
        _median(cost.step_seconds.median if cost.step_seconds else None for cost in found),
        median(map(_own, found)),
        median(_own(cost) + cost.required_seconds for cost in found),
        median(cost.inference_seconds_per_megapixel for cost in found),
        _median(cost.merged_inference_seconds_per_megapixel for cost in found),
        _median(cost.energy_joules for cost in found),
        _median(cost.waiting_share for cost in found),
        tuple(median(getattr(cost.memory, part) for cost in found) for part in PARTS),
        _median(cost.memory.peak for cost in found),
        all(cost.exclusive for cost in found),
    )


def _own(cost: RecordedCosts) -> float:
    """Return the training time in seconds, including the method's prior analyses."""
    return cost.training_seconds + cost.adaptation_seconds


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def backbone_size(table: Sequence[Record]) -> float | None:
    """Return the number of parameters of the backbone, taken from untrained cells; None if there are no such cells."""
    untouched = [record.costs.total for record in table if record.state == "done" and record.costs.trainable == 0]
    return median(untouched) if untouched else None
