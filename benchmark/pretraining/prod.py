"""PROD, the pre-training of CoLoRA: several synthetic degradations one after the other, in random order.

Source: Park, Kim & Chun, CoLoRA, ECCV 2024 (arXiv 2408.01099). It applies 1 to N randomly chosen degradations in random
order to each clean image. Which N = 7 functions it takes, their ranges and how it draws their number are not known;
those here are ours. Low light is left out, so that it stays a task that no weights have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from petlir.benchmark.degradation import Image
from petlir.benchmark.pretraining.synthetic import draw


def count(functions: int) -> int:
    """How many compositions there are of 1 to `functions` degradations in order, none twice: Σ N!/(N-k)!."""
    return sum(math.perm(functions, length) for length in range(1, functions + 1))


def composition(kinds: Sequence[str], rng: np.random.Generator) -> list[str]:
    """1 to N of these kinds in random order, none twice; a length k is drawn with a probability in proportion to 1/k.

    Short ones come more often than their number, for the tasks that follow are of one or two degradations.
    """
    lengths = np.arange(1, len(kinds) + 1)
    length = rng.choice(lengths, p=(1 / lengths) / (1 / lengths).sum())
    return [kinds[place] for place in rng.permutation(len(kinds))[:length]]


def degrade(image: Image, rng: np.random.Generator, kinds: Sequence[str]) -> Image:
    """Return the image, H×W×3 uint8, under a random composition of `kinds`; 8 bit after each degradation."""
    for kind in composition(kinds, rng):
        image = draw(kind, image, rng)
    return image
