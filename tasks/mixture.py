"""All-in-one restoration: a single adapter is trained on heavy rain, noise and low light, and tested on each of them.

`uir-lora[degradations=mixture]` is a control for the composition of LoRAs: it uses a single LoRA trained on all three
tasks.
"""

from __future__ import annotations

from petlir.benchmark.task import mixture
from petlir.tasks.denoise_50 import DENOISE_50
from petlir.tasks.derain_heavy import DERAIN_HEAVY
from petlir.tasks.low_light import LOW_LIGHT

MIXTURE = mixture("mixture", "Rain, noise and low light in one", (DENOISE_50, DERAIN_HEAVY, LOW_LIGHT))
