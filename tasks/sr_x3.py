"""Super-resolution ×3 of MATLAB's bicubic shrinking."""

from __future__ import annotations

from benchmark.degradations.resize import Bicubic
from benchmark.task import Data, Task

SR_X3 = Task(
    name="sr_x3",
    title="Super-resolution ×3",
    degradation=Bicubic(3),
    protocols=("y-crop3",),
    data={
        "demo": Data("leaves-train", "leaves-validation", ("leaves-test", "photographs")),
        "open": Data("BSDS303", "BSDS30", ("Set5", "Set14", "BSD100")),
    },
    scale=3,
)
