"""PROD, the pre-training of CoLoRA: several synthetic degradations in random order.

Source: Park, Kim & Chun, CoLoRA, ECCV 2024 (arXiv 2408.01099). PROD applies 1 to N randomly chosen degradations in
random order to each clean image. The N = 7 functions, their ranges and the distribution of the number of functions are
not published; the functions and values used here are our choice. Low light is excluded, so that no pre-trained
weights have seen the task `low_light`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from petlir.benchmark.degradation import Image
from petlir.benchmark.pretraining.synthetic import draw


def count(functions: int) -> int:
    """Return the number of ordered compositions of 1 to N distinct degradations, Σ N!/(N-k)! for N = `functions`."""
    return sum(math.perm(functions, length) for length in range(1, functions + 1))


def composition(kinds: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Draw 1 to N distinct kinds of degradation in random order; the probability of k kinds is proportional to 1/k.

    Short compositions are favoured, as the downstream tasks have one or two degradations.
    """
    lengths = np.arange(1, len(kinds) + 1)
    length = rng.choice(lengths, p=(1 / lengths) / (1 / lengths).sum())
    return [kinds[place] for place in rng.permutation(len(kinds))[:length]]


def degrade(image: Image, rng: np.random.Generator, kinds: Sequence[str]) -> Image:
    """Return the image, H×W×3 uint8, after a random composition of `kinds`; each result is rounded to 8 bits."""
    for kind in composition(kinds, rng):
        image = draw(kind, image, rng)
    return image
