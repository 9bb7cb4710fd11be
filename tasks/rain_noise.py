"""Removal of heavy rain and noise (σ = 50) from the same image, to test methods trained on single degradations."""

from __future__ import annotations

from petlir.benchmark.degradation import Chain
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN

RAIN_NOISE = Task(
    name="rain_noise",
    title="Heavy streaks and noise, σ = 50",
    degradation=Chain((RainStreaks("heavy"), GaussianNoise(50))),
    protocols=("rgb",),
    data={"demo": DEMO, "open": OPEN},
    test_only=True,
    undo=("denoise_50", "derain_heavy"),
)
