"""All-in-one: a single adapter trained on heavy rain, noise and low light together and tested on each.

`uir-lora[degradations=mixture]` is the control for composition: a single LoRA trained on the union.
"""

from __future__ import annotations

from petlir.benchmark.task import mixture
from petlir.tasks.denoise_50 import DENOISE_50
from petlir.tasks.derain_heavy import DERAIN_HEAVY
from petlir.tasks.low_light import LOW_LIGHT

MIXTURE = mixture("mixture", "Rain, noise and low light in one", (DENOISE_50, DERAIN_HEAVY, LOW_LIGHT))
