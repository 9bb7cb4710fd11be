"""Removal of heavy rain streaks.

The paper track trains on the 1,800 pairs of RainTrainH, each used 4 times per epoch, or, with `train=Rain13K`, on
Rain13K.
Validation uses photographs from neither RainTrainH nor Rain13K, with simulated streaks.
"""

from __future__ import annotations

from dataclasses import replace

from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.task import Data, Task
from petlir.tasks import DEMO, epochs

PAPER = Data("RainTrainH", "DIV2K-valid", ("Rain100H",), steps=epochs(1800, repetitions=4))
RAIN13K = replace(PAPER, train="Rain13K", steps=epochs(13_712))

DERAIN_HEAVY = Task(
    name="derain_heavy",
    title="Deraining, heavy streaks",
    degradation=RainStreaks("heavy"),
    protocols=("y",),
    data={
        "demo": DEMO,
        "open": Data("BSDS302", "BSDS30", ("Rain100H",), label="synthetic streaks → Rain100H"),
        "paper": PAPER,
    },
    variants={"train": {"RainTrainH": {}, "Rain13K": {"data": {"paper": RAIN13K}}}},
)
