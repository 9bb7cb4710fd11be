"""Components of EDSR (Lim et al., CVPRW 2017) that later networks use: mean colour and sub-pixel convolutions."""

from __future__ import annotations

from torch import nn

RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K's images, in [0, 1]."""


def upsampler(features: int, scale: int) -> nn.Sequential:
    """Return sub-pixel convolutions (Shi et al., 2016) for `scale`: two for ×4, none for ×1."""
    steps = {1: [], 2: [2], 3: [3], 4: [2, 2]}[scale]
    return nn.Sequential(
        *(
            module
            for step in steps
            for module in (nn.Conv2d(features, features * step**2, 3, padding=1), nn.PixelShuffle(step))
        )
    )
