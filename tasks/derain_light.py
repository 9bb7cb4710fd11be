"""Removal of light rain streaks.

The paper track trains on the 200 pairs of RainTrainL, each used 24 times per epoch, or on Rain13K with `train=Rain13K`.
Validation uses photographs from neither RainTrainL nor Rain13K, with simulated streaks.
"""

from __future__ import annotations

from dataclasses import replace

from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.task import Data, Task
from petlir.tasks import DEMO, epochs

PAPER = Data("RainTrainL", "DIV2K-valid", ("Rain100L",), steps=epochs(200, repetitions=24))
RAIN13K = replace(PAPER, train="Rain13K", steps=epochs(13_712))

DERAIN_LIGHT = Task(
    name="derain_light",
    title="Deraining, light streaks",
    degradation=RainStreaks("light"),
    protocols=("y",),
    data={
        "demo": DEMO,
        "open": Data("BSDS302", "BSDS30", ("Rain100L",), label="synthetic streaks → Rain100L"),
        "paper": PAPER,
    },
    variants={"train": {"RainTrainL": {}, "Rain13K": {"data": {"paper": RAIN13K}}}},
)
