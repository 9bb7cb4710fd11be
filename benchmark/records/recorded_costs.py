"""The costs of a recorded cell."""

from __future__ import annotations

from petlir.benchmark.records.types import Count, RecordPart, Seconds, Share


class RecordedMemory(RecordPart):
    """Memory of training in bytes; `peak` is measured, and null on devices that do not report their peak memory."""

    weights: Count
    gradients: Count
    optimizer: Count
    activations: Count
    peak: Count | None


class RecordedStepSeconds(RecordPart):
    """The duration of a training step in seconds: the median and the 95th percentile."""

    median: Seconds
    p95: Seconds


class RecordedCosts(RecordPart):
    """Costs of the cell; times are comparable only between runs on the same device, and only if `exclusive` is true.

    `adaptation_seconds` is the time to insert the method, including analyses before training (CoLoRA's
    attribution, a router's prototypes); `required_seconds` is the training time of the required cells; `waiting_share`
    is the fraction of the training time in which the device waits for a batch, null if nothing is trained.
    """

    trainable: Count
    stored_bytes: Count
    total: Count
    saved_for_backward_bytes: Count
    flops_per_step: Count
    memory: RecordedMemory
    step_seconds: RecordedStepSeconds | None
    adaptation_seconds: Seconds = 0.0
    training_seconds: Seconds
    required_seconds: Seconds = 0.0
    waiting_share: Share | None = None
    validation_seconds: Seconds
    evaluation_seconds: Seconds
    inference_seconds_per_megapixel: Seconds
    merged_inference_seconds_per_megapixel: Seconds | None
    merged: bool
    energy_joules: Seconds | None
    threads: Count
    exclusive: bool
