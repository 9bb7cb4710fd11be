"""The tasks, one file each, with shared image sets and training budgets."""

from __future__ import annotations

from petlir.benchmark.task import Data

EPOCHS, BATCH = 500, 64
"""Epochs and batch size of the AdaptIR paper; an incomplete last batch is dropped."""
PHOTOGRAPHS, WED, BSD400 = 800 + 2650, 4744, 400
"""Numbers of training images in DIV2K and Flickr2K together, in the Waterloo Exploration Database and in BSD400."""


def epochs(images: int, repetitions: int = 1) -> int:
    """Return the AdaptIR paper's number of training steps for `images`, each repeated `repetitions` times per epoch."""
    return EPOCHS * (images * repetitions // BATCH)


DEMO = Data("leaves-train", "leaves-validation", ("leaves-test", "photographs"))
OPEN = Data("BSDS302", "BSDS30", ("Set5", "Set14", "BSD100"))
PAPER = Data(
    "DIV2K+Flickr2K", "DIV2K-valid", ("Set5", "Set14", "BSD100", "Urban100", "Manga109"), steps=epochs(PHOTOGRAPHS)
)
