"""Super-resolution ×2 of MATLAB's bicubic shrinking."""

from __future__ import annotations

from benchmark.degradations.resize import Bicubic
from benchmark.task import Data, Task

SR_X2 = Task(
    name="sr_x2",
    title="Super-resolution ×2",
    degradation=Bicubic(2),
    protocols=("y-crop2",),
    data={
        "demo": Data("leaves-train", "leaves-validation", ("leaves-test", "photographs")),
        "open": Data("BSDS303", "BSDS30", ("Set5", "Set14", "BSD100")),
    },
    scale=2,
)
