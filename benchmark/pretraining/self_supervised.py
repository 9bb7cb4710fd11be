"""Self-supervised pre-training of a generic restoration network, as in the first phase of AdaIR.

Source: Chen et al., AdaIR (adapters), arXiv 2404.11475, §3: unlabelled clean images under synthetic degradations. The
kinds of degradation (noise, blur, rain, resizing) are those of AdaIR's tasks. The paper does not state the ranges of
the degradations; the ranges used here are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from petlir.benchmark.degradation import Image
from petlir.benchmark.pretraining.synthetic import draw

KINDS = ("noise", "gaussian blur", "rain", "resize")


def degrade(image: Image, rng: np.random.Generator, kinds: Sequence[str]) -> Image:
    """Return the image, H×W×3 uint8, degraded by one of `kinds`, each with equal probability."""
    return draw(kinds[int(rng.integers(len(kinds)))], image, rng)
