"""×4 super-resolution of images that are downscaled, rounded to 8 bits and then corrupted with noise of σ = 30.

The option `noise` selects how noisy images are stored. AdaptIR's code truncates noisy images to 8 bits in
training and in tests.
"""

from __future__ import annotations

from petlir.benchmark.degradation import KEPT, Chain
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN, PAPER

HYBRID_LR4_NOISE30 = Task(
    name="hybrid_lr4_noise30",
    title="×4 and noise, σ = 30",
    degradation=Chain((Bicubic(4), GaussianNoise(30))),
    protocols=("y-crop4",),
    data={"demo": DEMO, "open": OPEN, "paper": PAPER},
    undo=("denoise_30", "sr_x4"),
    scale=4,
    variants={"noise": {kept: {"degradation": Chain((Bicubic(4), GaussianNoise(30, kept)))} for kept in KEPT}},
)
