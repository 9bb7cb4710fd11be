"""JPEG compression, with the channels in the right order."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import PIL.Image

from benchmark.degradation import Degradation, Image
from benchmark.errors import PetlirError

CHROMA_420 = 2
"""Pillow's number for chroma at half the resolution along both axes."""


@dataclass(frozen=True)
class Jpeg(Degradation):
    """The image as a baseline JPEG file gives it back: libjpeg's tables, chroma 4:2:0, not progressive.

    Source: ITU-T T.81; quality is libjpeg's. Red and blue in their right places: the code of AdaptIR
    hands RGB to an encoder of BGR, and its images differ by about 7 grey levels.

    Attributes:
        quality: libjpeg's quality, 1..100.
    """

    quality: int

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise PetlirError(f"the quality of a JPEG is 1..100, not {self.quality}")

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """The whole image, H×W×3 uint8, compressed and decompressed; `rng` is not used."""
        file = io.BytesIO()
        settings = {
            "quality": self.quality,
            "subsampling": CHROMA_420,
            "optimize": False,
            "progressive": False,
        }
        PIL.Image.fromarray(image).save(file, "JPEG", **settings)
        return np.array(PIL.Image.open(file))
