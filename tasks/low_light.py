"""Brightening of simulated low light."""

from __future__ import annotations

from benchmark.degradations.low_light import LowLight
from benchmark.task import Task
from tasks import DEMO, OPEN

LOW_LIGHT = Task(
    name="low_light",
    title="Low light",
    degradation=LowLight(),
    protocols=("rgb",),
    data={"demo": DEMO, "open": OPEN},
)
