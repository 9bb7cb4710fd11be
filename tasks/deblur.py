"""Removal of motion blur: simulated blur on the demo and open tracks, GoPro's videos on the paper track.

No PETL paper reports results on motion deblurring. The paper track uses GoPro, as the NAFNet and Restormer papers do,
and as many training steps as the AdaptIR paper uses for super-resolution. All tracks validate on simulated blur.
"""

from __future__ import annotations

from petlir.benchmark.degradations.blur import RandomMotionBlur
from petlir.benchmark.task import Data, Task
from petlir.tasks import DEMO, OPEN, PAPER

DEBLUR = Task(
    name="deblur",
    title="Motion blur",
    degradation=RandomMotionBlur(9),
    protocols=("rgb",),
    data={
        "demo": DEMO,
        "open": OPEN,
        "paper": Data(
            "GoPro-train", "DIV2K-valid", ("GoPro-test",), "no published PETL set-up; GoPro after NAFNet", PAPER.steps
        ),
    },
    variants={"blur": {"slight": {}, "strong": {"degradation": RandomMotionBlur(21)}}},
)
