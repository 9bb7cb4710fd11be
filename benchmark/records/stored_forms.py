"""Stored JSON forms of a learning-rate selection and of training costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

Curve = Sequence[Mapping[str, float | None]]


class TunedCell(TypedDict, total=False):
    """A cell whose learning rate is selected; `weights` is the digest of the selection context."""

    backbone: str
    method: str
    options: Mapping[str, object]
    label: str
    task: str
    track: str
    seed: int
    steps: int
    batch_size: int
    patch: int
    weights: str


class StoredTrial(TypedDict):
    """A trial: its learning rate, final validation PSNR in dB (None if training diverged) and curve."""

    rate: float
    validation_psnr: float | None
    curve: Curve


class StoredHalf(TypedDict):
    """A trial at the selected learning rate with half of the steps."""

    steps: int
    validation_psnr: float | None
    curve: Curve


class StoredSelection(TypedDict):
    """A learning-rate selection; `rate` is None if all trials diverged, and `half` is None before the doubling test."""

    key: str
    cell: TunedCell
    rate: NotRequired[float | None]
    trials: list[StoredTrial]
    half: NotRequired[StoredHalf | None]


class StoredCosts(TypedDict, total=False):
    """Training costs, which a record validates and stores as `RecordedCosts`."""

    trainable: int
    stored_bytes: int
    total: int
    saved_for_backward_bytes: int
    flops_per_step: int
    memory: dict[str, int | None]
    step_seconds: dict[str, float] | None
    adaptation_seconds: float
    training_seconds: float
    waiting_share: float | None
    validation_seconds: float
    energy_joules: float | None
    threads: int
    exclusive: bool
