"""The built-in tasks, one module each, and the image sets and training budgets that they share."""

from __future__ import annotations

from petlir.benchmark.task import Data

EPOCHS, BATCH = 500, 64
"""Epochs and batch size of the AdaptIR paper; the incomplete last batch of an epoch is dropped."""
PHOTOGRAPHS, WED, BSD400 = 800 + 2650, 4744, 400
"""Numbers of training images: DIV2K with Flickr2K, the Waterloo Exploration Database (WED), and BSD400."""


def epochs(images: int, repetitions: int = 1) -> int:
    """Return the number of training steps of the AdaptIR paper's schedule.

    Args:
        images: number of training images.
        repetitions: how often each image is used per epoch.
    """
    return EPOCHS * (images * repetitions // BATCH)


DEMO = Data("leaves-train", "leaves-validation", ("leaves-test", "photographs"))
OPEN = Data("BSDS302", "BSDS30", ("Set5", "Set14", "BSD100"))
PAPER = Data(
    "DIV2K+Flickr2K", "DIV2K-valid", ("Set5", "Set14", "BSD100", "Urban100", "Manga109"), steps=epochs(PHOTOGRAPHS)
)
