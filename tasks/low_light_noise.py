"""Low-light enhancement and denoising of the same image, to test methods trained on single degradations.

The image is about five times too dark, so noise with σ = 15 corresponds to σ = 75 after enhancement; stronger noise
would hide the image.
"""

from __future__ import annotations

from petlir.benchmark.degradation import Chain
from petlir.benchmark.degradations.low_light import LowLight
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN

LOW_LIGHT_NOISE = Task(
    name="low_light_noise",
    title="Low light and noise, σ = 15",
    degradation=Chain((LowLight(), GaussianNoise(15))),
    protocols=("rgb",),
    data={"demo": DEMO, "open": OPEN},
    test_only=True,
    undo=("denoise_30", "low_light"),
)
