"""Storage of 16-bit test images in a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from petlir.benchmark.images import png
from petlir.benchmark.images.prepare import ImagePair


def store_deep(pairs: Sequence[ImagePair], shared: Path) -> None:
    """Write the pairs whose clean image has 16 bits per channel as 16-bit PNGs, unless these exist.

    8-bit pairs are stored during scoring, by `petlir.benchmark.scoring.evaluate.evaluate`.

    Args:
        pairs: the test images; 16-bit images are float32 on the scale 0..255.
        shared: folder for degraded and clean images, as `SET/degraded/IMAGE.png`.
    """
    for pair in pairs:
        if pair.clean.dtype == np.uint8:
            continue
        for side, image in (("degraded", pair.degraded), ("clean", pair.clean)):
            path = shared / pair.set / side / f"{pair.name}.png"
            if not path.exists():
                png.write(path, np.rint(image.astype(np.float64).clip(0, 255) * 257).astype(np.uint16))
