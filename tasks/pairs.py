"""A user's own pairs, in `pairs/` under PETLIR_DATA; the tracks differ in budget alone."""

from __future__ import annotations

from benchmark.task import Data, Task

OWN = Data("pairs-train", "pairs-validation", ("pairs-test",), label="own pairs")

PAIRS = Task(
    name="pairs",
    title="Own pairs",
    degradation=None,
    protocols=("rgb",),
    data={"demo": OWN, "open": OWN},
)
