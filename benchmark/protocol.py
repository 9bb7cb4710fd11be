"""The contract of a protocol: exactly how a restored image is scored against the clean image.

An id, e.g. `y-crop4` or `rgb-ssim3d-float@whole+x8`, has these components in this order; every combination is valid:

    CHANNEL [-crop<N>] [-ssim3d] [-gtmean] [-float]      how two images are compared
    [@whole | @tiles-<SIDE> | @official] [+x8]           how the image was restored
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import product
from typing import Literal

from petlir.benchmark.errors import PetlirError, unknown


@dataclass(frozen=True)
class Channel:
    """The values of an image that are compared, on the scale 0..255.

    Attributes:
        about: a description.
        luma: weights of R, G and B; None if all three channels are compared.
        offset: constant added to the luma.
        rounded: whether the luma is rounded to integers.
    """

    about: str
    luma: tuple[float, float, float] | None = None
    offset: float = 0.0
    rounded: bool = False


MATLAB = (65.481 / 255, 128.553 / 255, 24.966 / 255)
CHANNELS: Mapping[str, Channel] = {
    "rgb": Channel("RGB"),
    "y": Channel("MATLAB luma, 16 + (65.481 R + 128.553 G + 24.966 B) / 255, not rounded", MATLAB, 16),
    "y-uint8": Channel("MATLAB luma of 8-bit images, which `rgb2ycbcr` rounds to integers", MATLAB, 16, rounded=True),
    "y-ipt": Channel(
        "IPT's luma, 16 + (65.738 R + 129.057 G + 25.064 B) / 256, not rounded",
        (65.738 / 256, 129.057 / 256, 25.064 / 256),
        16,
    ),
    "y-full": Channel("full-range luma, 0.299 R + 0.587 G + 0.114 B, not rounded", (0.299, 0.587, 0.114)),
}

KNOWN: Mapping[str, str] = {
    "y": "deraining in the AdaptIR and EDT papers",
    "rgb": "denoising, low light and SIDD in the AdaptIR paper; PromptIR; JPEG artefacts in FBCNN; GoPro in Restormer",
    "y-crop2": "super-resolution ×2: AdaptIR, EDT, SwinIR",
    "y-crop3": "super-resolution ×3: AdaptIR, EDT, SwinIR",
    "y-crop4": "super-resolution ×4 and hybrid degradations: AdaptIR, EDT, SwinIR",
    "rgb-crop2": "super-resolution ×2 on all channels",
    "rgb-crop3": "super-resolution ×3 on all channels",
    "rgb-crop4": "super-resolution ×4 on all channels",
    "y-uint8": "MATLAB scripts that read 8-bit images, such as the scripts for Rain13K",
    "y-ipt": "IPT at scale 1, denoising included; the paper prints no SSIM",
    "y-ipt-crop4": "IPT, super-resolution ×4",
    "y-full": "pyiqa's `psnry` and `ssim` by default",
    "rgb-ssim3d": "NAFNet's tables (SIDD, GoPro): SSIM over a window that spans the channels too",
    "rgb-float": "Restormer (SIDD, denoising): outputs are not rounded to 8 bit",
    "rgb-gtmean": "KinD, LLFlow, diffusion models on LOL: brightness is taken from the clean image",
    "rgb@official": "IPT, AdaptIR, EDT: images go through the network as in its official code",
    "rgb+x8": "rows with a + in EDSR, SwinIR and IPT: the mean over eight flips and rotations",
}
"""Protocols used in the literature, by id, and the works that use them; all other combinations are equally valid."""

PATTERN = re.compile(
    rf"(?P<channel>{'|'.join(CHANNELS)})(?:-crop(?P<border>[1-9][0-9]*))?(?P<ssim>-ssim3d)?(?P<gtmean>-gtmean)?"
    r"(?P<float>-float)?(?:@(?P<seen>whole|official|tiles-[1-9][0-9]*))?(?P<x8>\+x8)?"
)


@dataclass(frozen=True)
class Protocol:
    """The rules for comparing two images, and the way in which the restored image was produced.

    Scores with different ids are not comparable: PSNR of the same two images differs by up to 5 dB between protocols.
    Every record and column header therefore shows the id.

    Attributes:
        channel: a name of `CHANNELS`.
        border: pixels cropped at each side.
        ssim: `2d`: a window within each channel, then the mean over channels; `3d`: a window across channels (NAFNet).
        uses_reference: whether the restored image is first scaled to the mean brightness of the clean one (GT-mean,
            LOL), which makes the score less informative about the method.
        rounded: whether the restored image is rounded to 8 bits, as in a file, before it is scored.
        seen: field of view of the network, `whole`, `tiles-48` or `official`; empty if unknown.
        ensemble: number of flips and rotations that the restored image is averaged over, 1 or 8.
        peak: largest possible pixel value, which PSNR and SSIM depend on.
        window: side length of SSIM's Gaussian window in pixels.
        sigma: standard deviation of that window in pixels.
        average: the unit of averaging: a set's score is the mean of its images' scores.
    """

    channel: str
    border: int = 0
    ssim: Literal["2d", "3d"] = "2d"
    uses_reference: bool = False
    rounded: bool = True
    seen: str = ""
    ensemble: Literal[1, 8] = 1
    peak: float = 255.0
    window: int = 11
    sigma: float = 1.5
    average: Literal["per-image"] = "per-image"

    @property
    def id(self) -> str:
        """The id, which states how images are scored and how they were restored."""
        crop = f"-crop{self.border}" if self.border else ""
        kind = "-ssim3d" * (self.ssim == "3d") + "-gtmean" * self.uses_reference + "-float" * (not self.rounded)
        return self.channel + crop + kind + self.way

    @property
    def way(self) -> str:
        """The suffix of the id that states how the image was restored, e.g. `@whole`, `@tiles-48+x8`."""
        return (f"@{self.seen}" if self.seen else "") + "+x8" * (self.ensemble == 8)

    def restored_as(self, way: Protocol) -> Protocol:
        """Return this protocol with the field of view and the ensemble of the protocol `way`."""
        return replace(self, seen=way.seen, ensemble=way.ensemble)

    def describe(self) -> str:
        """Describe in a few sentences how the two images are processed and compared."""
        rounding = "Clipped and rounded to 8 bit" if self.rounded else "Clipped, not rounded"
        grey = "; scaled to the mean grey of the clean image, which a restorer cannot know" * self.uses_reference
        border = f"{self.border} border pixels cropped" if self.border else "no border cropped"
        return (
            f"{rounding}{grey}; {CHANNELS[self.channel].about}{self._channels()}; {border}; peak {self.peak:g}; "
            f"SSIM with a {self._window()}; mean of per-image values.{self._seen()}"
        )

    def _channels(self) -> str:
        if CHANNELS[self.channel].luma is not None:
            return ""
        return ": PSNR over all channels together" + ", SSIM per channel, then the mean" * (self.ssim == "2d")

    def _window(self) -> str:
        side = "×".join([str(self.window)] * (2 if self.ssim == "2d" else 3))
        where = (
            "at positions entirely inside the image" if self.ssim == "2d" else "also across channels, edges replicated"
        )
        return f"Gaussian window of {side}, σ {self.sigma:g}, {where}"

    def _seen(self) -> str:
        side = self.seen.removeprefix("tiles-")
        seen = {
            "": "",
            "whole": " The network saw the whole image at once.",
            "official": " The image went through the network as in the network's official code.",
        }.get(self.seen, f" The network saw tiles of {side}×{side} pixels of the degraded image at once.")
        return seen + " Mean over eight flips and rotations." * (self.ensemble == 8)


def protocol(name: str) -> Protocol:
    """Parse a protocol id.

    Raises:
        PetlirError: the id is invalid; the message suggests the nearest valid one.
    """
    match = PATTERN.fullmatch(name)
    if match is None:
        raise unknown("protocol", name, get_close_matches(name, _spellings(name), n=1, cutoff=0.5) or KNOWN)
    return Protocol(
        match["channel"],
        int(match["border"] or 0),
        "3d" if match["ssim"] else "2d",
        match["gtmean"] is not None,
        match["float"] is None,
        match["seen"] or "",
        8 if match["x8"] else 1,
    )


def protocols(names: str) -> tuple[Protocol, ...]:
    """Parse comma-separated protocol ids, without duplicates.

    Raises:
        PetlirError: an id is invalid.
    """
    return tuple(dict.fromkeys(protocol(name.strip()) for name in names.split(",") if name.strip()))


def _spellings(name: str) -> Iterator[str]:
    """Yield the ids that a misspelt `name` may mean.

    The ids are all combinations of components, with common numbers and the numbers in `name`.
    """
    numbers = {int(number) for number in re.findall("[0-9]+", name)} - {0}
    borders = ["", *(f"-crop{number}" for number in sorted({2, 3, 4} | numbers))]
    seen = ["", "@whole", "@official", *(f"@tiles-{number}" for number in sorted({48} | numbers))]
    parts = (CHANNELS, borders, ["", "-ssim3d"], ["", "-gtmean"], ["", "-float"], seen, ["", "+x8"])
    return map("".join, product(*parts))


def check_stored(rules: Iterable[Protocol]) -> None:
    """Reject protocols that cannot be applied to stored images, which are rounded."""
    for rule in rules:
        if not rule.rounded:
            raise PetlirError(f"{rule.id} scores images before rounding and storage; use `petlir run --protocols`")
