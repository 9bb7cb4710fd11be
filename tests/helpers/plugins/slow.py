"""A LoRA whose training steps take a given time: `PETLIR_SLOW=2:3,3:9` sets seconds per step for each rank."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.methods.lora import LoRA


class Pause(nn.Module):
    """A module that returns its input, after a pause in training."""

    def __init__(self, seconds: float, log: str | None, rank: int) -> None:
        super().__init__()
        self.seconds, self.log, self.rank = seconds, log, rank

    def forward(self, features):
        """Return the features, and append the step to the file that `PETLIR_SLOW_LOG` names."""
        if self.training and self.log:
            with open(self.log, "a") as file:  # noqa: PTH123 - several processes append
                file.write(f"{self.rank}\n")
            time.sleep(self.seconds)
        return features


@dataclass(frozen=True)
class Slow(LoRA):
    """A LoRA with slow training steps."""

    name = "slow"
    idea = "It takes its time."

    def adapt(self, backbone: Backbone) -> None:
        """Insert LoRA, and a pause after the first MLP."""
        super().adapt(backbone)
        seconds = dict(item.split(":") for item in os.environ.get("PETLIR_SLOW", "").split(",") if item)
        pause = Pause(float(seconds.get(str(self.rank), 0)), os.environ.get("PETLIR_SLOW_LOG"), self.rank)
        next(iter(backbone.blocks())).mlp.after(pause)
