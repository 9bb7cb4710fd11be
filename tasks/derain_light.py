"""Removal of light rain streaks."""

from __future__ import annotations

from benchmark.degradations.rain import RainStreaks
from benchmark.task import Data, Task
from tasks import DEMO

DERAIN_LIGHT = Task(
    name="derain_light",
    title="Deraining, light streaks",
    degradation=RainStreaks("light"),
    protocols=("y",),
    data={
        "demo": DEMO,
        "open": Data("BSDS303", "BSDS30", ("Rain100L",), label="synthetic streaks → Rain100L"),
    },
)
