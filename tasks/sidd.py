"""Denoising of camera images: simulated noise on the demo track, PolyU's real noise on the open one."""

from __future__ import annotations

from benchmark.degradations.camera import CameraNoise
from benchmark.task import Data, Task
from tasks import DEMO

SIDD = Task(
    name="sidd",
    title="Camera noise",
    degradation=CameraNoise(),
    protocols=("rgb",),
    data={
        "demo": DEMO,
        "open": Data("PolyU-train", "PolyU-validation", ("PolyU-test",), label="real camera noise, PolyU by scene"),
    },
)
