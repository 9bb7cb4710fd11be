"""The tasks, one file each, and the image sets that several of them share."""

from __future__ import annotations

from benchmark.task import Data

DEMO = Data("leaves-train", "leaves-validation", ("leaves-test", "photographs"))
OPEN = Data("BSDS303", "BSDS30", ("Set5", "Set14", "BSD100"))
