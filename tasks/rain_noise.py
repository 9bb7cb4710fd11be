"""Removal of heavy rain streaks under noise, σ = 50: a mixture of two tasks, meant for methods that saw each alone."""

from __future__ import annotations

from benchmark.degradation import Chain
from benchmark.degradations.noise import GaussianNoise
from benchmark.degradations.rain import RainStreaks
from benchmark.task import Task
from tasks import DEMO, OPEN

RAIN_NOISE = Task(
    name="rain_noise",
    title="Heavy streaks and noise, σ = 50",
    degradation=Chain((RainStreaks("heavy"), GaussianNoise(50))),
    protocols=("rgb",),
    data={"demo": DEMO, "open": OPEN},
    test_only=True,
    undo=("denoise_50", "derain_heavy"),
)
