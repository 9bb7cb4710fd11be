"""Removal of JPEG artefacts; the option `quality` sets the quality at which all images are compressed.

Three papers report results on LIVE1 for qualities 10 to 40 (10 is the strongest compression): Dong et al. (ARCNN, ICCV
2015), Zhang et al. (DnCNN, TIP 2017) and Jiang et al. (FBCNN, ICCV 2021). Colour images are scored in RGB, as in FBCNN.
None of the reproduced PETL papers reports results on JPEG artefacts alone. The paper track uses FBCNN's training
photographs (DIV2K and Flickr2K) and as many training steps as the AdaptIR paper uses for super-resolution.
"""

from __future__ import annotations

from dataclasses import replace

from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.task import Task
from petlir.tasks import DEMO, OPEN, PAPER

QUALITIES = (10, 20, 30, 40)

JPEG = Task(
    name="jpeg",
    title="JPEG artefacts, quality 10",
    degradation=Jpeg(QUALITIES[0]),
    protocols=("rgb",),
    data={
        "demo": DEMO,
        "open": OPEN,
        "paper": replace(PAPER, tests=("LIVE1",), label="no published PETL set-up; LIVE1 after FBCNN"),
    },
    variants={
        "quality": {
            str(quality): {"degradation": Jpeg(quality), "title": f"JPEG artefacts, quality {quality}"}
            for quality in QUALITIES
        }
    },
)
