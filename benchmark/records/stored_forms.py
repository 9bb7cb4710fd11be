"""The stored forms of a learning rate's selection and of a training's costs, as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

Curve = Sequence[Mapping[str, float | None]]


class TunedCell(TypedDict, total=False):
    """The cell whose learning rate is chosen; `weights` is the selection context."""

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
    """A trial: its learning rate, final validation PSNR in dB (None if training diverged), and curve."""

    rate: float
    validation_psnr: float | None
    curve: Curve


class StoredHalf(TypedDict):
    """A trial of half the steps at the chosen rate."""

    steps: int
    validation_psnr: float | None
    curve: Curve


class StoredSelection(TypedDict):
    """A selection; without `half` it has not been tested for convergence, and `rate` is None if all trials diverged."""

    key: str
    cell: TunedCell
    rate: NotRequired[float | None]
    trials: list[StoredTrial]
    half: NotRequired[StoredHalf | None]


class StoredCosts(TypedDict, total=False):
    """The costs of training, which a record checks and holds as `RecordedCosts`."""

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
