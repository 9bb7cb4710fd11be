"""×4 super-resolution of compressed images: shrunk, rounded to 8 bit, then JPEG as a whole."""

from __future__ import annotations

from benchmark.degradation import Chain
from benchmark.degradations.jpeg import Jpeg
from benchmark.degradations.resize import Bicubic
from benchmark.task import Task
from tasks import DEMO, OPEN

HYBRID_LR4_JPEG30 = Task(
    name="hybrid_lr4_jpeg30",
    title="×4 and JPEG, quality 30",
    degradation=Chain((Bicubic(4), Jpeg(30))),
    protocols=("y-crop4",),
    data={"demo": DEMO, "open": OPEN},
    undo=("denoise_30", "sr_x4"),
    scale=4,
)
