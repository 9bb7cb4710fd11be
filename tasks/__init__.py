"""The tasks, one file each, and what several of them share: image sets and budgets."""

from __future__ import annotations

from petlir.benchmark.task import Data

EPOCHS, BATCH = 500, 64
"""Of the AdaptIR paper's training; a last batch that is not full is dropped."""
PHOTOGRAPHS, WED, BSD400 = 800 + 2650, 4744, 400
"""Training images of DIV2K and Flickr2K, of the Waterloo Exploration Database, and of BSD400."""


def epochs(images: int, repetitions: int = 1) -> int:
    """The steps in which the AdaptIR paper trains on so many images, each so many times an epoch."""
    return EPOCHS * (images * repetitions // BATCH)


DEMO = Data("leaves-train", "leaves-validation", ("leaves-test", "photographs"))
OPEN = Data("BSDS302", "BSDS30", ("Set5", "Set14", "BSD100"))
PAPER = Data(
    "DIV2K+Flickr2K", "DIV2K-valid", ("Set5", "Set14", "BSD100", "Urban100", "Manga109"), steps=epochs(PHOTOGRAPHS)
)
