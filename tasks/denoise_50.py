"""Denoising at σ = 50; the noisy images are 8 bit, where some papers keep floats."""

from __future__ import annotations

from benchmark.degradations.noise import GaussianNoise
from benchmark.task import Data, Task
from tasks import DEMO

DENOISE_50 = Task(
    name="denoise_50",
    title="Denoising, σ = 50",
    degradation=GaussianNoise(50),
    protocols=("rgb",),
    data={
        "demo": DEMO,
        "open": Data("BSDS303", "BSDS30", ("BSD100",), label="BSD100 (CBSD-type)"),
    },
)
