"""PSNR and SSIM under a named protocol; recorded values are computed in float64.

Sources: Wang, Bovik, Sheikh & Simoncelli, Image quality assessment: from error visibility to structural
similarity, IEEE TIP 2004; ITU-R BT.601 luma as in MATLAB's `rgb2ycbcr`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.metric import Metric
from petlir.benchmark.protocol import CHANNELS, Channel, Protocol
from petlir.benchmark.protocol import protocol as protocol_of

GREY = CHANNELS["y-full"]
"""The luma used for the mean brightness of an image, as in OpenCV's conversion to grey."""
RGB = protocol_of("rgb")
"""The default protocol of PSNR and SSIM."""


def psnr(restored: Image, clean: Image, protocol: Protocol) -> float:
    """Return the peak signal-to-noise ratio in dB of two uint8 H×W×3 images; infinite if they are identical.

    Raises:
        PetlirError: the sizes differ, or no pixel remains inside the border.
    """
    return _psnr(*_planes(_values(restored), _values(clean), protocol), protocol).item()


def ssim(restored: Image, clean: Image, protocol: Protocol, dtype: torch.dtype = torch.float64) -> float:
    """Return the structural similarity in [-1, 1] of two uint8 H×W×3 images, averaged over channels and windows.

    Args:
        restored: the image to score.
        clean: the reference image.
        protocol: determines the channels, the border and the window.
        dtype: float64 for recorded values; float32 is faster and accurate to 1e-4.

    Raises:
        PetlirError: the sizes differ, or the area inside the border is smaller than the window.
    """
    return _ssim(*_planes(_values(restored).to(dtype), _values(clean).to(dtype), protocol), protocol).item()


def scores(
    restored: Tensor, clean: Tensor, protocol: Protocol, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return PSNR and SSIM of each of N pairs of images; if the protocol requires it, images are rounded first.

    Args:
        restored: N×3×H×W in [0, 1]; values outside are clipped.
        clean: N×3×H×W in [0, 1]; values outside are clipped.
        protocol: the protocol of the comparison.
        dtype: float64 is accurate to 1e-6, float32 to 1e-4.

    Returns:
        PSNR in dB and SSIM, N values each.

    Raises:
        PetlirError: the sizes differ, or the window does not fit inside the border.
    """
    planes = _scaled_planes(restored, clean, protocol, dtype)
    return _psnr(*planes, protocol), _ssim(*planes, protocol)


@dataclass(frozen=True)
class PSNR(Metric):
    """Peak signal-to-noise ratio under a protocol; infinite for identical images."""

    protocol: Protocol = RGB
    name: ClassVar[str] = "psnr"
    title: ClassVar[str] = "PSNR"
    unit: ClassVar[str] = "dB"

    def __call__(self, restored: Tensor, clean: Tensor) -> float:
        """Return the mean PSNR in dB; see `Metric`."""
        return _psnr(*_scaled_planes(restored, clean, self.protocol), self.protocol).mean().item()


@dataclass(frozen=True)
class SSIM(Metric):
    """Structural similarity under a protocol, in [-1, 1]."""

    protocol: Protocol = RGB
    name: ClassVar[str] = "ssim"
    title: ClassVar[str] = "SSIM"

    def __call__(self, restored: Tensor, clean: Tensor) -> float:
        """Return the mean SSIM; see `Metric`."""
        return _ssim(*_scaled_planes(restored, clean, self.protocol), self.protocol).mean().item()


def recorded(psnr: float) -> float | str:
    """Return a PSNR as a JSON value: since JSON has no infinity, the PSNR of identical images is `"inf"`."""
    return "inf" if math.isinf(psnr) else psnr


def _scaled_planes(
    restored: Tensor, clean: Tensor, protocol: Protocol, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Clip, and round if required, two N×3×H×W batches in [0, 1]; return the planes that the protocol compares."""

    def values(images: Tensor) -> Tensor:
        scaled = images.to(dtype).clamp(0, 1) * 255
        return scaled.round() if protocol.rounded else scaled

    return _planes(values(restored), values(clean), protocol)


def _values(image: Image) -> Tensor:
    """Return an H×W×3 image as a float64 1×3×H×W batch, in 0..255."""
    return torch.tensor(image, dtype=torch.float64).permute(2, 0, 1)[None]


def _planes(restored: Tensor, clean: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """Extract the N×C×h×w planes that the protocol compares from two N×3×H×W batches in 0..255."""
    if restored.shape != clean.shape:
        sizes = (f"{images.shape[-1]}×{images.shape[-2]}" for images in (restored, clean))
        raise PetlirError("images of {} and {} pixels cannot be compared; equal sizes are expected".format(*sizes))
    height, width = (side - 2 * protocol.border for side in clean.shape[-2:])
    if min(height, width) < 1:
        raise PetlirError(
            f"images of {clean.shape[-1]}×{clean.shape[-2]} pixels are too small for the border of {protocol.id}"
        )
    if protocol.uses_reference:
        restored = _as_bright_as(clean, restored, protocol)
    down, across = (slice(protocol.border, protocol.border + side) for side in (height, width))
    channel = CHANNELS[protocol.channel]
    return _compared(restored[..., down, across], channel), _compared(clean[..., down, across], channel)


def _as_bright_as(clean: Tensor, restored: Tensor, protocol: Protocol) -> Tensor:
    """Scale the restored images to the mean grey of the clean images; a black image stays black."""
    wanted, found = (_compared(images, GREY).mean((1, 2, 3), keepdim=True) for images in (clean, restored))
    scaled = (restored * torch.where(found > 0, wanted / found, 1)).clamp(0, protocol.peak)
    return scaled.round() if protocol.rounded else scaled


def _compared(images: Tensor, channel: Channel) -> Tensor:
    """Return the compared values of N×3×H×W images in 0..255: the unchanged images, or their N×1×H×W luma."""
    if channel.luma is None:
        return images
    red, green, blue = (weight * plane for weight, plane in zip(channel.luma, images.unbind(1), strict=True))
    luma = (red + green + blue + channel.offset)[:, None]
    return luma.round() if channel.rounded else luma


def _psnr(restored: Tensor, clean: Tensor, protocol: Protocol) -> Tensor:
    error = (restored - clean).square().mean((1, 2, 3))
    return 10 * torch.log10(protocol.peak**2 / error)


def _ssim(restored: Tensor, clean: Tensor, protocol: Protocol) -> Tensor:
    """Return the SSIM of each of N images, given as N×C×H×W planes."""
    if protocol.ssim == "3d":
        return _similarity(restored, clean, protocol).mean((1, 2, 3))
    if min(clean.shape[-2:]) < protocol.window:
        raise PetlirError(
            f"SSIM under {protocol.id} needs {protocol.window}×{protocol.window} pixels inside the border; "
            f"{clean.shape[-1]}×{clean.shape[-2]} are left"
        )
    # one plane and one moment at a time fit in a processor's cache, which makes this three times as fast
    count = clean.shape[0] * clean.shape[1] if clean.device.type == "cpu" else 1
    parts = (images.flatten(0, 1).tensor_split(count) for images in (restored, clean))
    means = [_similarity(one, other, protocol).mean((1, 2)) for one, other in zip(*parts, strict=True)]
    return torch.cat(means).view(clean.shape[:2]).mean(1)


def _similarity(restored: Tensor, clean: Tensor, protocol: Protocol) -> Tensor:
    """Return the SSIM map; four moments suffice, as only the sum of the two variances is needed."""
    # moments about mid grey: float32 would lose small variances in the squares of bright pixels
    grey = protocol.peak / 2
    restored, clean = restored - grey, clean - grey
    moments = (restored, clean, restored.square() + clean.square(), restored * clean)
    mean_restored, mean_clean, squares, product = (_blur(moment, protocol) for moment in moments)
    variances = squares - mean_restored.square() - mean_clean.square()
    covariance = product - mean_restored * mean_clean
    mean_restored, mean_clean = mean_restored + grey, mean_clean + grey
    steady_mean, steady_variance = (0.01 * protocol.peak) ** 2, (0.03 * protocol.peak) ** 2
    luminance = (2 * mean_restored * mean_clean + steady_mean) / (
        mean_restored.square() + mean_clean.square() + steady_mean
    )
    return luminance * (2 * covariance + steady_variance) / (variances + steady_variance)


def _blur(maps: Tensor, protocol: Protocol) -> Tensor:
    """Return Gaussian-weighted means of N×C×H×W maps.

    For 2D SSIM, only windows inside the map are used. For 3D SSIM, each pixel of each channel is the centre of a
    window, and edges are repeated.

    Shifted sums along each axis are much faster than a convolution.
    """
    half = protocol.window // 2
    axes = range(-2 if protocol.ssim == "2d" else -3, 0)
    if protocol.ssim == "3d":
        maps = functional.pad(maps[None], (half,) * 6, mode="replicate")[0]
    places = torch.arange(-half, half + 1, dtype=torch.float64)
    weights = torch.softmax(-places.square() / (2 * protocol.sigma**2), 0).tolist()
    for axis in axes:
        side = maps.shape[axis] - 2 * half
        blurred = weights[half] * maps.narrow(axis, half, side)
        # adding pairs of equal weight, smallest weight first, reduces the error in float32 to a third
        for start, weight in enumerate(weights[:half]):
            pair = maps.narrow(axis, start, side) + maps.narrow(axis, 2 * half - start, side)
            blurred.add_(pair, alpha=weight)
        maps = blurred
    return maps
