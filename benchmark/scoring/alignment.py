"""Alignment of the sizes of a restored and a clean image by enlarging or cropping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from petlir.benchmark.degradations.enlarging import enlarge_in_bands
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.decoding import Pixels

SCALES = range(2, 9)
"""The scales s for which a clean image may be cropped to sides that are multiples of s."""
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Alignment:
    """The operations that give the images of a pair the same size.

    Attributes:
        factor: factor by which the restored image is enlarged; 1 if the image is not enlarged.
        size: width and height of both images.
        scale: the clean image is cropped to a multiple of this scale; 1 if the image is not cropped.
    """

    factor: int
    size: Size
    scale: int = 1

    def apply(self, restored: Pixels, clean: Pixels) -> tuple[Pixels, Pixels]:
        """Enlarge or crop the H×W×3 images to the same size, and return both."""
        width, height = self.size
        return enlarge_in_bands(restored, self.factor) if self.factor > 1 else restored, clean[:height, :width]


def align(restored: Size, clean: Size, *, bicubic: bool, likely: int = 0) -> Alignment:
    """Return the operations that give a restored and a clean image of these sizes the same size.

    A task of scale s crops clean images to a multiple of s, so a restored image may lack up to s - 1 rows and columns.

    Args:
        restored: size of the restored image.
        clean: size of the clean image.
        bicubic: whether restored images that are smaller by an integer factor are enlarged.
        likely: the scale that is preferred if several are possible.

    Raises:
        PetlirError: the sizes do not match.
    """
    if restored == clean:
        return Alignment(1, clean)
    smaller = _preferred((f for f in range(2, clean[0] // restored[0] + 1) if _shrunk(clean, f) == restored), likely)
    if bicubic and smaller:
        size = (restored[0] * smaller, restored[1] * smaller)
        return Alignment(smaller, size, 1 if size == clean else smaller)
    if scale := _preferred((s for s in SCALES if _cropped(clean, s) == restored), likely):
        return Alignment(1, restored, scale)
    hint = f"; use --bicubic to enlarge the restored image by a factor of {smaller}" if smaller else ""
    sizes = "{}×{} pixels, its reference {}×{}".format(*restored, *clean)
    raise PetlirError(f"is {sizes}; equal sizes are expected{hint}")


def _preferred(found: Iterable[int], likely: int) -> int:
    """Return the likely scale if it is in `found`, otherwise the smallest scale in `found`; 0 if `found` is empty."""
    scales = list(found)
    return likely if likely in scales else min(scales, default=0)


def _shrunk(size: Size, scale: int) -> Size:
    return size[0] // scale, size[1] // scale


def _cropped(size: Size, scale: int) -> Size:
    return size[0] // scale * scale, size[1] // scale * scale
