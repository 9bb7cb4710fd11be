"""Storage of 16-bit test images in a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from petlir.benchmark.images import png
from petlir.benchmark.images.prepare import ImagePair


def store_deep(pairs: Sequence[ImagePair], shared: Path) -> None:
    """Write the image pairs whose clean image has 16 bits per channel as 16-bit PNGs, unless the PNGs exist.

    Image pairs with 8 bits per channel are stored during scoring, by `petlir.benchmark.scoring.evaluate.evaluate`.

    Args:
        pairs: the test pairs; images with 16 bits per channel are float32 arrays on the scale 0..255.
        shared: the folder for degraded and clean images, named `SET/degraded/IMAGE.png` and `SET/clean/IMAGE.png`.
    """
    for pair in pairs:
        if pair.clean.dtype == np.uint8:
            continue
        for side, image in (("degraded", pair.degraded), ("clean", pair.clean)):
            path = shared / pair.set / side / f"{pair.name}.png"
            if not path.exists():
                png.write(path, np.rint(image.astype(np.float64).clip(0, 255) * 257).astype(np.uint16))
