"""Denoising at σ = 30; the noisy images are 8 bit, where some papers keep floats."""

from __future__ import annotations

from benchmark.degradations.noise import GaussianNoise
from benchmark.task import Data, Task
from tasks import DEMO

DENOISE_30 = Task(
    name="denoise_30",
    title="Denoising, σ = 30",
    degradation=GaussianNoise(30),
    protocols=("rgb",),
    data={
        "demo": DEMO,
        "open": Data("BSDS303", "BSDS30", ("BSD100",), label="BSD100 (CBSD-type)"),
    },
)
