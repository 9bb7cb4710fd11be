"""Tasks made from a user's own folders of image pairs; the tracks differ only in their training budgets."""

from __future__ import annotations

import re
from pathlib import Path

from petlir.benchmark.images.catalogue import own_pairs
from petlir.benchmark.images.pairs import PairFolder
from petlir.benchmark.task import Data, Family, Task
from petlir.benchmark.track import TRACKS

DIGITS = 8
"""The length, in hexadecimal digits, of the image digest in a task's name."""
DEEP = "own pairs, 16 bits a channel: PSNR against the peak 65535"


class Pairs(Family):
    """The tasks `pairs:DIR`, one for each folder DIR of degraded and clean images.

    The name of a task contains the name of its folder, a digest of the images and the scale, so that two folders with
    the same name, or two versions of one folder, give different tasks.
    """

    name = "pairs"
    title = "Own pairs of degraded and clean images"
    argument = "DIR"

    def canonical(self, argument: str) -> str:
        """Return the absolute path of the folder."""
        return str(Path(argument).expanduser().resolve())

    def open(self, argument: str) -> Task:
        """Return the task for a folder; the scale is inferred from the image sizes."""
        folder = Path(argument)
        pairs = PairFolder(folder)
        scale = pairs.scale
        content = pairs.digest(scale)[:DIGITS]
        train, validation, test = (own_pairs(folder, part, scale) for part in ("train", "validation", "test"))
        data = Data(train, validation, (test,), label="own pairs" if pairs.bits == 8 else DEEP)
        name = re.sub(r"[^\w-]+", "-", folder.name)
        return self._task(f"{name}-{content}" + (f":x{scale}" if scale > 1 else ""), data)

    def recall(self, name: str) -> Task:
        """Return the task whose name is stored in a record; the task has no images."""
        return self._task(name, None)

    def _task(self, name: str, data: Data | None) -> Task:
        found = re.search(r":x(\d+)$", name)
        scale = int(found[1]) if found else 1
        protocol = f"y-crop{scale}" if scale > 1 else "rgb"
        title = f"Own pairs: {name}"
        on = dict.fromkeys(TRACKS, data) if data else {}
        return Task(f"{self.name}:{name}", title, None, (protocol,), on, scale=scale)


PAIRS = Pairs()
