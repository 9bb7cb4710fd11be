"""Brightening of simulated low light."""

from __future__ import annotations

from benchmark.degradations.low_light import LowLight
from benchmark.task import Data, Task

LOW_LIGHT = Task(
    name="low_light",
    title="Low light",
    degradation=LowLight(),
    protocols=("rgb",),
    data={
        "demo": Data("leaves-train", "leaves-validation", ("leaves-test", "photographs")),
        "open": Data("BSDS303", "BSDS30", ("Set5", "Set14", "BSD100")),
    },
)
