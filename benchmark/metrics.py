"""PSNR and SSIM under a named protocol, in float64.

Sources: Wang, Bovik, Sheikh & Simoncelli, Image quality assessment: from error visibility to structural
similarity, IEEE TIP 2004; ITU-R BT.601 luma as in MATLAB's `rgb2ycbcr`.
"""

from __future__ import annotations

import math
from statistics import fmean

import torch
from torch import Tensor

from benchmark.degradation import Image
from benchmark.errors import PetlirError
from benchmark.protocol import Protocol


def psnr(restored: Image, clean: Image, protocol: Protocol) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images H×W×3; infinite where they are identical.

    Raises:
        PetlirError: the sizes differ, or no pixel is left inside the border.
    """
    return _psnr(*_planes(_batch(restored), _batch(clean), protocol), protocol).item()


def ssim(restored: Image, clean: Image, protocol: Protocol, dtype: torch.dtype = torch.float64) -> float:
    """Structural similarity in [-1, 1] of two uint8 images H×W×3, the mean over channels and whole windows.

    Args:
        restored: the image to be scored.
        clean: the image that it is scored against.
        protocol: channels, border, window.
        dtype: float64 for what is recorded; float32 is faster and right to 1e-4.

    Raises:
        PetlirError: the sizes differ, or are smaller than the window inside the border.
    """
    images, references = _planes(_batch(restored).to(dtype), _batch(clean).to(dtype), protocol)
    # a channel at a time stays in the processor's cache, which halves the time
    channels = zip(images.unbind(1), references.unbind(1), strict=True)
    return fmean(_ssim(image, reference, protocol).double().mean().item() for image, reference in channels)


def recorded(psnr: float) -> float | str:
    """A PSNR as JSON holds it, which has no infinity: identical images are `"inf"`."""
    return "inf" if math.isinf(psnr) else psnr


def _batch(image: Image) -> Tensor:
    """An image H×W×3 as a float64 batch 1×3×H×W, still 0..255."""
    return torch.tensor(image, dtype=torch.float64).permute(2, 0, 1)[None]


def _planes(restored: Tensor, clean: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """What the protocol compares of two batches N×3×H×W in 0..255: N×C×h×w each."""
    if restored.shape != clean.shape:
        sizes = (f"{images.shape[-1]}×{images.shape[-2]}" for images in (restored, clean))
        raise PetlirError("images of {} and {} pixels cannot be compared; equal sizes are expected".format(*sizes))
    height, width = (side - 2 * protocol.border for side in clean.shape[-2:])
    if min(height, width) < 1:
        raise PetlirError(f"images of {clean.shape[-1]}×{clean.shape[-2]} pixels have none left under {protocol.id}")
    down, across = (slice(protocol.border, protocol.border + side) for side in (height, width))
    restored, clean = restored[..., down, across], clean[..., down, across]
    return (_luma(restored), _luma(clean)) if protocol.channel == "y" else (restored, clean)


def _luma(images: Tensor) -> Tensor:
    """The Y of MATLAB's `rgb2ycbcr`, 16..235, not rounded: N×3×H×W in 0..255 to N×1×H×W."""
    weights = images.new_tensor([65.481, 128.553, 24.966]) / 255
    return torch.einsum("nchw,c->nhw", images, weights)[:, None] + 16


def _psnr(restored: Tensor, clean: Tensor, protocol: Protocol) -> Tensor:
    error = (restored - clean).square().mean((1, 2, 3))
    return 10 * torch.log10(protocol.peak**2 / error)


def _ssim(restored: Tensor, clean: Tensor, protocol: Protocol) -> Tensor:
    """The SSIM map of N×H×W, N×(H-10)×(W-10); four moments do, as only the sum of the two variances is needed."""
    if min(clean.shape[-2:]) < protocol.window:
        raise PetlirError(
            f"SSIM under {protocol.id} needs {protocol.window} pixels a side inside the border, "
            f"{clean.shape[-1]}×{clean.shape[-2]} are left"
        )
    # moments about mid grey: float32 would lose small variances in the squares of bright pixels
    grey = protocol.peak / 2
    restored, clean = restored - grey, clean - grey
    moments = torch.stack([restored, clean, restored.square() + clean.square(), restored * clean])
    mean_restored, mean_clean, squares, product = _blur(moments, protocol).unbind()
    variances = squares - mean_restored.square() - mean_clean.square()
    covariance = product - mean_restored * mean_clean
    mean_restored, mean_clean = mean_restored + grey, mean_clean + grey
    steady_mean, steady_variance = (0.01 * protocol.peak) ** 2, (0.03 * protocol.peak) ** 2
    luminance = (2 * mean_restored * mean_clean + steady_mean) / (
        mean_restored.square() + mean_clean.square() + steady_mean
    )
    return luminance * (2 * covariance + steady_variance) / (variances + steady_variance)


def _blur(maps: Tensor, protocol: Protocol) -> Tensor:
    """Gaussian means over whole windows: shifted sums along each axis, much faster than a convolution."""
    half = protocol.window // 2
    places = torch.arange(-half, half + 1, dtype=torch.float64)
    weights = torch.softmax(-places.square() / (2 * protocol.sigma**2), 0).tolist()
    for axis in (-2, -1):
        side = maps.shape[axis] - 2 * half
        blurred = weights[half] * maps.narrow(axis, half, side)
        # pairs of equal weight, the lightest first: in float32 a third of the error
        for start, weight in enumerate(weights[:half]):
            pair = maps.narrow(axis, start, side) + maps.narrow(axis, 2 * half - start, side)
            blurred.add_(pair, alpha=weight)
        maps = blurred
    return maps
