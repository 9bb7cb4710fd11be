"""The image pair on the first page: the outputs of the frozen network and of the method with the largest gain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from petlir.reports.crops import farthest
from petlir.reports.gallery import Photograph, Picture, Shown, pixels
from petlir.reports.results import FROZEN

SIDE = 96
"""The maximum side of the crop in pixels."""


@dataclass(frozen=True)
class PicturePair:
    """One crop of a photograph in two versions.

    Attributes:
        before: the frozen network's output, or the degraded image if the network was not run.
        after: the output of the PETL method with the largest gain on the photograph.
        x: left edge of the crop in pixels.
        y: upper edge of the crop in pixels.
        side: side of the crop in pixels.
    """

    shown: Shown
    photograph: Photograph
    before: Picture
    after: Picture
    x: int
    y: int
    side: int


def picture_pair(gallery: Sequence[Shown], methods: Collection[str], top: Path) -> PicturePair | None:
    """Return the image pair with the largest gain in PSNR; None if no PETL method's output improves on `before`.

    Args:
        gallery: the photographs.
        methods: labels of the PETL methods.
        top: the folder to which image paths are relative.
    """
    best: tuple[float, Shown, Photograph, Picture, Picture] | None = None
    for shown in gallery:
        for photograph in shown["images"]:
            before = _before(photograph)
            after = max((one for one in photograph["pictures"] if one["label"] in methods), key=_psnr, default=None)
            if before and after and (gain := _psnr(after) - _psnr(before)) > (best[0] if best else 0.0):
                best = (gain, shown, photograph, before, after)
    return _cropped(*best[1:], top) if best else None


def _before(photograph: Photograph) -> Picture | None:
    known = {one["label"]: one for one in photograph["pictures"] if one["psnr"] is not None}
    return known.get(FROZEN) or known.get("degraded")


def _psnr(picture: Picture) -> float:
    return float("-inf") if picture["psnr"] is None else picture["psnr"]


def _cropped(shown: Shown, photograph: Photograph, before: Picture, after: Picture, top: Path) -> PicturePair:
    """Return the image pair, cropped where the images differ most, or at the upper left if the image sizes differ."""
    side = min(SIDE, photograph["width"], photograph["height"])
    one, other = (pixels(top / picture["src"]) for picture in (before, after))
    same = one is not None and other is not None and one.shape == other.shape
    x, y = farthest(one, other, side) if same and one is not None and other is not None else (0, 0)
    return PicturePair(shown, photograph, before, after, x, y, side)
