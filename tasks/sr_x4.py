"""Super-resolution ×4 of MATLAB's bicubic shrinking."""

from __future__ import annotations

from benchmark.degradations.resize import Bicubic
from benchmark.task import Data, Task

SR_X4 = Task(
    name="sr_x4",
    title="Super-resolution ×4",
    degradation=Bicubic(4),
    protocols=("y-crop4",),
    data={
        "demo": Data("leaves-train", "leaves-validation", ("leaves-test", "photographs")),
        "open": Data("BSDS303", "BSDS30", ("Set5", "Set14", "BSD100")),
    },
    scale=4,
)
