"""Geometric self-ensemble: the mean over the eight flips and rotations of an image.

Source: Timofte, Rothe & Van Gool, Seven ways to improve example-based single image super resolution, CVPR 2016; used
for the results marked `+` in the tables of EDSR (Lim et al., CVPRW 2017).
"""

from __future__ import annotations

from itertools import product

from torch import Tensor

from petlir.benchmark.restoration.tiling import Forward


def eightfold(forward: Forward, images: Tensor) -> Tensor:
    """Return the mean output of `forward` on the images rotated by 0, 90, 180 and 270°, each plain and mirrored.

    Each output is rotated and mirrored back before the mean is computed.

    Args:
        forward: maps N×3×H×W images to N×3×sH×sW images; it is also called with height and width exchanged.
        images: N×3×H×W.
    """
    views = list(product(range(4), (False, True)))
    total = sum(_back(forward(_turned(images, *view)), *view) for view in views)
    assert isinstance(total, Tensor)
    return total / len(views)


def _turned(images: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return (images.flip(-1) if mirrored else images).rot90(quarters, (-2, -1))


def _back(images: Tensor, quarters: int, mirrored: bool) -> Tensor:
    upright = images.rot90(-quarters, (-2, -1))
    return upright.flip(-1) if mirrored else upright
