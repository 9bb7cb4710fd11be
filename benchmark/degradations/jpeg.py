"""JPEG compression, with the channels in the right order or, as in some papers' code, with red and blue swapped."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import PIL
import PIL.features
import PIL.Image

from petlir.benchmark.degradation import Degradation, Image, rounded
from petlir.benchmark.errors import PetlirError, unknown

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def encoder() -> str:
    """Return the name and version of the JPEG encoder, e.g. `Pillow 12.0.0, libjpeg-turbo 3.1.2`.

    Other versions of the encoder can round differently.
    """
    library, kind = PIL.features.version("libjpeg_turbo"), "libjpeg-turbo"
    if library is None:
        library, kind = PIL.features.version("jpg"), "libjpeg"
    return f"Pillow {PIL.__version__}, {kind} {library}"


@dataclass(frozen=True)
class Jpeg(Degradation):
    """Baseline (not progressive) JPEG compression with libjpeg's quantisation tables.

    Source: ITU-T T.81, with libjpeg's quality scale. AdaptIR's code compresses whole test images but individual
    training crops, so that the 8×8 block grid starts at the corner of each crop. AdaptIR's code also passes RGB images
    to an encoder that expects BGR, which changes the compressed images by about 7 grey levels.

    Attributes:
        quality: libjpeg's quality, 1..100.
        on: `images` if whole images are compressed before they are cropped, or `crops` if each training crop is
            compressed separately.
        swapped: whether red and blue are swapped for the encoder.
        subsampling: chroma subsampling; `4:2:0` halves the chroma resolution along both axes.
    """

    quality: int
    on: str = "images"
    swapped: bool = False
    subsampling: str = "4:2:0"
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise PetlirError(f"the quality of a JPEG image must be between 1 and 100, not {self.quality}")
        if self.on not in ("images", "crops"):
            raise PetlirError(f"JPEG compression applies to 'images' or 'crops', not {self.on!r}")
        if self.subsampling not in SUBSAMPLINGS:
            raise unknown("chroma subsampling", self.subsampling, SUBSAMPLINGS)

    @property
    def whole(self) -> bool:
        """True if the degradation compresses whole images rather than training crops."""
        return self.on == "images"

    def prepare(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the whole image, H×W×3 uint8, compressed and decompressed; `rng` is not used."""
        return self._through_file(image) if self.whole else image

    def perturb(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Compress and decompress each image of an N×3×H×W batch in [0, 1] separately, with libjpeg on the CPU."""
        import torch

        if self.whole:
            return batch
        images = (batch * 255).permute(0, 2, 3, 1).cpu().numpy()
        files = np.stack([self._through_file(rounded(image)) for image in images])
        return torch.from_numpy(files).to(batch.device).permute(0, 3, 1, 2).to(batch.dtype) / 255

    def _through_file(self, image: Image) -> Image:
        file = io.BytesIO()
        settings = {
            "quality": self.quality,
            "subsampling": self.subsampling,
            "optimize": False,
            "progressive": False,
        }
        order = slice(None, None, -1 if self.swapped else 1)
        PIL.Image.fromarray(np.ascontiguousarray(image[..., order])).save(file, "JPEG", **settings)
        return np.array(PIL.Image.open(file))[..., order]
