"""Removal of heavy rain streaks."""

from __future__ import annotations

from benchmark.degradations.rain import RainStreaks
from benchmark.task import Data, Task
from tasks import DEMO

DERAIN_HEAVY = Task(
    name="derain_heavy",
    title="Deraining, heavy streaks",
    degradation=RainStreaks("heavy"),
    protocols=("y",),
    data={
        "demo": DEMO,
        "open": Data("BSDS303", "BSDS30", ("Rain100H",), label="synthetic streaks → Rain100H"),
    },
)
