"""All in one: heavy rain, noise and low light, trained on together by one adapter and tested on one by one.

With its LoRA `uir-lora[degradations=mixture]` is the control that composition is compared with: one LoRA on the union.
"""

from __future__ import annotations

from petlir.benchmark.task import mixture
from petlir.tasks.denoise_50 import DENOISE_50
from petlir.tasks.derain_heavy import DERAIN_HEAVY
from petlir.tasks.low_light import LOW_LIGHT

MIXTURE = mixture("mixture", "Rain, noise and low light in one", (DENOISE_50, DERAIN_HEAVY, LOW_LIGHT))
