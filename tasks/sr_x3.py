"""Super-resolution ×3 of images downscaled by MATLAB's bicubic filter."""

from __future__ import annotations

from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN, PAPER

SR_X3 = Task(
    name="sr_x3",
    title="Super-resolution ×3",
    degradation=Bicubic(3),
    protocols=("y-crop3",),
    data={"demo": DEMO, "open": OPEN, "paper": PAPER},
    scale=3,
)
