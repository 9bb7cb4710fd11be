"""Super-resolution ×2 of images downscaled by MATLAB's bicubic filter."""

from __future__ import annotations

from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN, PAPER

SR_X2 = Task(
    name="sr_x2",
    title="Super-resolution ×2",
    degradation=Bicubic(2),
    protocols=("y-crop2",),
    data={"demo": DEMO, "open": OPEN, "paper": PAPER},
    scale=2,
)
