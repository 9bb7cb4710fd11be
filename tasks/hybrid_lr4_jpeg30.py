"""×4 super-resolution of images that are downscaled, rounded to 8 bits and then compressed as JPEG.

The option `jpeg` selects how training images are compressed: `whole` compresses whole images and `patches` compresses
single patches. Test images are always compressed whole. `swapped` exchanges red and blue before compressing whole
images. `official` exchanges red and blue before compressing patches, as AdaptIR's code does.
"""

from __future__ import annotations

from petlir.benchmark.degradation import Chain
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN, PAPER

WAYS = {
    "whole": Jpeg(30),
    "patches": Jpeg(30, on="crops"),
    "swapped": Jpeg(30, swapped=True),
    "official": Jpeg(30, on="crops", swapped=True),
}

HYBRID_LR4_JPEG30 = Task(
    name="hybrid_lr4_jpeg30",
    title="×4 and JPEG, quality 30",
    degradation=Chain((Bicubic(4), Jpeg(30))),
    protocols=("y-crop4",),
    data={"demo": DEMO, "open": OPEN, "paper": PAPER},
    undo=("denoise_30", "sr_x4"),
    scale=4,
    variants={"jpeg": {way: {"degradation": Chain((Bicubic(4), jpeg))} for way, jpeg in WAYS.items()}},
)
