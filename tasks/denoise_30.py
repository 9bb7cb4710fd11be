"""Denoising at σ = 30; the option `noise` selects how noisy images are stored: as 8-bit integers or as floats.

Some papers store noisy images as floats. With `noise=official`, noisy images are truncated to 8 bits in training and
stored as floats in tests, as in AdaptIR's code. The option `train` selects the training sets. According to the text of
the AdaptIR paper, training uses all four sets (DIV2K, Flickr2K, WED and BSD400); Table 16 of the paper lists only two.
"""

from __future__ import annotations

from dataclasses import replace

from petlir.benchmark.degradation import KEPT
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.task import Data, Task
from petlir.tasks import BSD400, DEMO, PHOTOGRAPHS, WED, epochs

ALL = Data("DIV2K+Flickr2K+WED+BSD400", "DIV2K-valid", ("CBSD68", "Urban100"), steps=epochs(PHOTOGRAPHS + WED + BSD400))
FEWER = replace(ALL, train="WED+BSD400", steps=epochs(WED + BSD400))
OPEN = Data("BSDS302", "BSDS30", ("BSD100",), label="BSD100 (CBSD-type)")


def denoise(sigma: float) -> Task:
    """Return the denoising task for noise with the standard deviation `sigma`, on the scale 0..255."""
    ways = {kept: GaussianNoise(sigma, kept) for kept in KEPT}
    ways["official"] = GaussianNoise(sigma, "float", trained_on="truncated")
    return Task(
        name=f"denoise_{sigma:g}",
        title=f"Denoising, σ = {sigma:g}",
        degradation=ways["rounded"],
        protocols=("rgb",),
        data={"demo": DEMO, "open": OPEN, "paper": ALL},
        variants={
            "noise": {way: {"degradation": noise} for way, noise in ways.items()},
            "train": {"all": {}, "WED+BSD400": {"data": {"paper": FEWER}}},
        },
    )


DENOISE_30 = denoise(30)
