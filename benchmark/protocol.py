"""The contract of a protocol: exactly how a restored image is scored against the clean one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from benchmark.errors import unknown

KNOWN = ("y", "rgb", "y-crop2", "y-crop3", "y-crop4", "rgb-crop2", "rgb-crop3", "rgb-crop4")
"""The ids that the literature reports under; every other border is as valid."""


@dataclass(frozen=True)
class Protocol:
    """How two 8-bit images are compared. Two ids are never comparable.

    The same pair of images moves by 5 dB between protocols, so the id stands in every record and column head.

    Attributes:
        id: its name, the one truth of it: `y`, `rgb`, `y-crop4`, `rgb-crop2@whole`.
        channel: `y`, the unrounded luma of MATLAB's `rgb2ycbcr`; or `rgb`, all three channels.
        border: pixels left out at each side.
        peak: the largest value, of PSNR and of SSIM.
        window: side of SSIM's Gaussian window in pixels.
        sigma: standard deviation of that window in pixels.
        average: what the mean of a set is taken over.
        seen: what the network saw at once, `whole` or `tiles-48`; empty where that is not known.
    """

    id: str
    channel: Literal["y", "rgb"]
    border: int = 0
    peak: float = 255.0
    window: int = 11
    sigma: float = 1.5
    average: Literal["per-image"] = "per-image"
    seen: str = ""

    def describe(self) -> str:
        """What is done to the two images, in one sentence."""
        channel = {
            "y": "MATLAB luma, 16 + (65.481 R + 128.553 G + 24.966 B) / 255, not rounded",
            "rgb": "RGB: PSNR over all channels together, SSIM per channel, then the mean",
        }[self.channel]
        border = f"{self.border} pixels of border off" if self.border else "no border off"
        return (
            f"Clipped and rounded to 8 bit; {channel}; {border}; peak {self.peak:g}; SSIM with a "
            f"{self.window}×{self.window} Gaussian window, σ {self.sigma:g}, where it lies wholly inside; "
            f"mean of per-image values.{self._seen()}"
        )

    def _seen(self) -> str:
        if not self.seen:
            return ""
        side = self.seen.removeprefix("tiles-")
        what = "the whole image" if self.seen == side else f"tiles of {side}×{side} pixels of the degraded image"
        return f" The network saw {what} at once."


def protocol(name: str) -> Protocol:
    """The protocol of this id: `y` or `rgb`, then `-crop<N>` where N ≥ 1 pixels of border are left out.

    In records, `@whole` or `@tiles-<SIDE>` follows.

    Raises:
        PetlirError: nothing goes by this id; names the nearest that is valid.
    """
    match = re.fullmatch(r"(y|rgb)(?:-crop([1-9][0-9]*))?(?:@(whole|tiles-[1-9][0-9]*))?", name)
    if match is None:
        raise unknown("protocol", name, KNOWN)
    return Protocol(name, "y" if match[1] == "y" else "rgb", int(match[2] or 0), seen=match[3] or "")
