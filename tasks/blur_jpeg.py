"""Removal of motion blur and JPEG artefacts from the same image, to test methods trained on single degradations."""

from __future__ import annotations

from petlir.benchmark.degradation import Chain
from petlir.benchmark.degradations.blur import RandomMotionBlur
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN

BLUR_JPEG = Task(
    name="blur_jpeg",
    title="Motion blur and JPEG, quality 20",
    degradation=Chain((RandomMotionBlur(9), Jpeg(20))),
    protocols=("rgb",),
    data={"demo": DEMO, "open": OPEN},
    test_only=True,
    undo=("jpeg", "deblur"),
)
