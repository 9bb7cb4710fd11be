"""Denoising of camera images: simulated noise on the demo track, PolyU on the open track and SIDD on the paper track.

The AdaptIR paper states neither its training length on SIDD nor whether it scored rounded images. In petlir,
training on SIDD takes as many steps as super-resolution, and test images are scored both rounded to 8 bits (`rgb`) and
unrounded (`rgb-float`); the two scores differ by up to 0.26 dB.
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
