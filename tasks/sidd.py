"""Denoising of camera images: simulated noise on the demo track, PolyU's real noise on the open one, SIDD's in papers.

The AdaptIR paper does not say how long it trained on SIDD, nor whether it scored rounded images: here as long as for
super-resolution, and images are scored rounded to 8 bit (`rgb`) and as they are (`rgb-float`): up to 0.26 dB apart.
"""

from __future__ import annotations

from petlir.benchmark.degradations.camera import CameraNoise
from petlir.benchmark.task import Data, Task
from petlir.tasks import DEMO, PAPER

SIDD = Task(
    name="sidd",
    title="Camera noise",
    degradation=CameraNoise(),
    protocols=("rgb", "rgb-float"),
    data={
        "demo": DEMO,
        "open": Data("PolyU-train", "PolyU-validation", ("PolyU-test",), "PolyU, real noise: 8 test scenes, 32 images"),
        "paper": Data("SIDD-train", "PolyU-validation", ("SIDD-validation",), steps=PAPER.steps),
    },
)
