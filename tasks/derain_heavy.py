"""Removal of heavy rain streaks."""

from __future__ import annotations

from benchmark.degradations.rain import RainStreaks
from benchmark.task import Data, Task

DERAIN_HEAVY = Task(
    name="derain_heavy",
    title="Deraining, heavy streaks",
    degradation=RainStreaks("heavy"),
    protocols=("y",),
    data={
        "demo": Data("leaves-train", "leaves-validation", ("leaves-test", "photographs")),
        "open": Data("BSDS303", "BSDS30", ("Rain100H",), label="synthetic streaks → Rain100H"),
    },
)
