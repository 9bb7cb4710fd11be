"""×4 super-resolution of images with noise σ = 30: shrunk, rounded to 8 bit, then noise."""

from __future__ import annotations

from benchmark.degradation import Chain
from benchmark.degradations.noise import GaussianNoise
from benchmark.degradations.resize import Bicubic
from benchmark.task import Task
from tasks import DEMO, OPEN

HYBRID_LR4_NOISE30 = Task(
    name="hybrid_lr4_noise30",
    title="×4 and noise, σ = 30",
    degradation=Chain((Bicubic(4), GaussianNoise(30))),
    protocols=("y-crop4",),
    data={"demo": DEMO, "open": OPEN},
    undo=("denoise_30", "sr_x4"),
    scale=4,
)
