"""Super-resolution ×4 of images downscaled by MATLAB's bicubic filter."""

from __future__ import annotations

from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN, PAPER

SR_X4 = Task(
    name="sr_x4",
    title="Super-resolution ×4",
    degradation=Bicubic(4),
    protocols=("y-crop4",),
    data={"demo": DEMO, "open": OPEN, "paper": PAPER},
    scale=4,
)
