"""Fingerprints of images for the overlap audit: keypoints and a thumbnail, about 20 KB per image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from petlir.benchmark.degradation import Image
from petlir.benchmark.images.imageset import pixels_digest
from petlir.benchmark.images.overlaps import blobs
from petlir.benchmark.images.overlaps.blobs import Blobs

SIDE = 320
"""The maximum length of an image's longer side, in pixels, for keypoint detection."""
THUMBNAIL = 128
VIEW = 48
AROUND = 0.07 * VIEW
"""σ, in pixels of a view, of the neighbourhood over which brightness and contrast are normalised."""
FAINT = 2.0
"""The local contrast, in grey levels, up to which differences count as noise and are not amplified."""

Box = tuple[float, float, float, float]
"""The left, top, right and bottom edges of an area, in pixels."""


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of an image.

    Attributes:
        digest: SHA-256 of the image's size and pixels.
        width: width of the image in pixels.
        height: height of the image in pixels.
        thumbnail: h×w uint8, grey.
        blobs: keypoints, with positions and scales in pixels of the image.
    """

    digest: str
    width: int
    height: int
    thumbnail: NDArray[np.uint8]
    blobs: Blobs

    @property
    def whole(self) -> Box:
        """The box of the whole image."""
        return (0.0, 0.0, float(self.width), float(self.height))

    def view(self, box: Box) -> NDArray[np.float32]:
        """Return an area of the image as 48×48 values of unit norm and even local contrast; zeros if it is constant."""
        from scipy.ndimage import gaussian_filter

        height, width = self.thumbnail.shape
        factors, ends = (width / self.width, height / self.height) * 2, (width, height) * 2
        small = tuple(min(max(side * f, 0), end) for side, f, end in zip(box, factors, ends, strict=True))
        grey = PIL.Image.fromarray(self.thumbnail).convert("F").resize((VIEW, VIEW), PIL.Image.Resampling.BOX, small)
        pixels = np.asarray(grey, np.float32)
        pixels = pixels - gaussian_filter(pixels, AROUND, mode="nearest")
        pixels /= gaussian_filter(np.abs(pixels), AROUND, mode="nearest") + FAINT
        pixels -= pixels.mean()
        view: NDArray[np.float32] = pixels / (float(np.linalg.norm(pixels)) or 1.0)
        return view


def fingerprint(image: Image) -> Fingerprint:
    """Compute the fingerprint of an image, H×W×3 uint8."""
    height, width = image.shape[:2]
    grey = PIL.Image.fromarray(image).convert("L")
    small = _shrunk(grey, _factor(max(grey.size)))
    found = blobs.find(np.asarray(small, np.float32))
    scale = np.array([width / small.width, height / small.height], np.float32)
    in_pixels = Blobs(found.points * scale, found.scales * float(scale.mean()), found.codes)
    thumbnail = np.asarray(_shrunk(grey, max(grey.size) / THUMBNAIL))
    return Fingerprint(pixels_digest(image), width, height, thumbnail, in_pixels)


def _factor(side: int) -> float:
    """Return the downscaling factor, rounded up to a level, so that an image and its crops share keypoint levels."""
    return float(2 ** (math.ceil(blobs.LEVELS * math.log2(max(side / SIDE, 1))) / blobs.LEVELS))


def _shrunk(grey: PIL.Image.Image, factor: float) -> PIL.Image.Image:
    if factor <= 1:
        return grey
    width, height = (max(1, round(side / factor)) for side in grey.size)
    return grey.resize((width, height), PIL.Image.Resampling.LANCZOS)
