"""Self-supervised pre-training of a generic restoration network, as AdaIR's first phase.

Source: Chen et al., AdaIR (adapters), arXiv 2404.11475, §3: unlabelled clean images under synthetic degradations. Its
kinds (noise, blur, rain, resizing) are those of its tasks; the ranges are not known, those here are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from petlir.benchmark.degradation import Image
from petlir.benchmark.pretraining.synthetic import draw

KINDS = ("noise", "gaussian blur", "rain", "resize")


def degrade(image: Image, rng: np.random.Generator, kinds: Sequence[str]) -> Image:
    """Return the image, H×W×3 uint8, under one of the kinds, all equally likely; 8 bit."""
    return draw(kinds[int(rng.integers(len(kinds)))], image, rng)
