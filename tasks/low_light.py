"""Low-light enhancement: simulated low light on the demo and open tracks, LOL's photographs on the paper track.

The paper track trains on the 485 pairs of LOL, each used 16 times per epoch. All tracks validate on simulated
low light.
"""

from __future__ import annotations

from petlir.benchmark.degradations.low_light import LowLight
from petlir.benchmark.task import Data, Task
from petlir.tasks import DEMO, OPEN, epochs

LOW_LIGHT = Task(
    name="low_light",
    title="Low light",
    degradation=LowLight(),
    protocols=("rgb",),
    data={
        "demo": DEMO,
        "open": OPEN,
        "paper": Data("LOLv1-train", "DIV2K-valid", ("LOLv1-test",), steps=epochs(485, repetitions=16)),
    },
)
