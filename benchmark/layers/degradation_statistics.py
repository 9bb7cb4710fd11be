"""Exposure and high-pass statistics that describe an image's degradation, independently of the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from petlir.benchmark.backbone import Backbone

LUMA = (0.299, 0.587, 0.114)
"""The weights of R, G and B in the luma (ITU-R BT.601)."""
QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
SCALES = 3
"""The number of resolutions, each half the previous one."""
LEAST = 32
"""The minimum side length of an image in pixels; smaller images are padded by repeating the last row and column."""
JPEG_BLOCK = 8
"""The side length of a JPEG block in pixels."""
PATCH = 6
"""The side length, in pixels, of the patches among which flat ones are selected."""
FLAT = 0.3
"""The fraction of patches that count as flat, i.e. in which noise is stronger than image texture."""
STREAK, SLANTS = 9, (-0.5, -0.25, 0.0, 0.25, 0.5)
"""The length of a streak (in rows), and the slants of streaks (in columns per row)."""
FAINT = 1e-4
"""A constant, 1/40 of a grey level, that is added to amplitudes in [0, 1] before logarithms and divisions."""
HALF_LEVEL = 0.5 / 255
"""Half a grey level, the largest error of rounding to 8 bits."""
MOST = 2**17
"""The maximum number of pixels for quantiles of exposure; in larger images only every k-th pixel is used."""


@dataclass(frozen=True)
class DegradationStatistics:
    """46 statistics of exposure, noise, streaks, JPEG blocks and demosaicking; amplitudes are logarithmic.

    Source: the high-pass filter and the robust noise level of Immerkær, Fast noise variance estimation, CVIU 1996, and
    Donoho & Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 1994; noise in flat patches by
    brightness after Foi et al., Practical Poissonian-Gaussian noise modeling and fitting, TIP 2008; traces of
    demosaicking after Gallagher & Chen, Image authentication by detecting traces of demosaicing, CVPRW 2008. The
    selection of statistics is petlir's own.
    """

    def width(self, backbone: Backbone) -> int:
        """Return 46, the number of statistics."""
        return 46

    @torch.no_grad()
    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return the N×46 statistics of N×3×H×W images in [0, 1]; the backbone is not used."""
        down, right = (max(0, LEAST - side) for side in images.shape[-2:])
        images = functional.pad(images.float(), (0, right, 0, down), mode="replicate")
        luma = torch.einsum("c,nchw->nhw", images.new_tensor(LUMA), images)[:, None]
        parts = (
            _exposure(images, luma),
            _noise(images, luma),
            _scales(luma),
            _mosaic(images),
            _blocks(luma),
            _streaks(luma),
        )
        return torch.stack([number for part in parts for number in part], 1)


def _exposure(images: Tensor, luma: Tensor) -> Iterator[Tensor]:
    """Yield quantiles, contrast and mean of the luma, the fractions of black and white samples, and peak brightness.

    The peak brightness is the 0.995 quantile of the pixels' largest channel values.
    """
    flat = luma.flatten(1)
    step = -(-flat.shape[1] // MOST)
    yield from torch.quantile(flat[:, ::step], images.new_tensor(QUANTILES), dim=1)
    yield _log(flat.std(1))
    yield _log(flat.mean(1))
    yield (images <= HALF_LEVEL).float().mean((1, 2, 3))
    yield (images >= 1 - HALF_LEVEL).float().mean((1, 2, 3))
    yield _quantile(images.amax(1).flatten(1)[:, ::step], 0.995)


def _noise(images: Tensor, luma: Tensor) -> Iterator[Tensor]:
    """Yield noise levels, correlations of noise between channels and between pixels, and noise levels by brightness.

    Noise is estimated in flat patches, where image texture is weak. Also yield the mean brightness of the darkest and
    the brightest third of the patches and, last, the fraction of pixels whose high-pass value is below half a grey
    level.
    """
    colours, grey = high_pass(images), high_pass(luma)
    yield from _log(_quantile(_levels(colours), FLAT)).T
    levels = _levels(grey)[:, 0]
    yield _log(_quantile(levels, 0.1))
    flat = (levels <= _quantile(levels, FLAT)[:, None]).float()
    for one, other in ((0, 1), (0, 2), (1, 2)):  # rain is grey, noise is not
        yield _correlation(colours[:, one], colours[:, other], flat)
    for axis in (-1, -2):
        red, green, blue = (_correlation(channel, channel.roll(1, axis), flat) for channel in colours.unbind(1))
        yield green
        yield (red + blue) / 2
    means = functional.avg_pool2d(luma[..., 1:-1, 1:-1], PATCH).flatten(1)
    order, third = means.argsort(1), means.shape[1] // 3
    for place in (order[:, :third], order[:, -third:]):
        yield _log(_quantile(levels.gather(1, place), FLAT))
        yield _log(means.gather(1, place).mean(1))
    yield (grey.abs() < HALF_LEVEL).float().mean((1, 2, 3))


def _scales(luma: Tensor) -> Iterator[Tensor]:
    """Yield skewness of thin lines at full resolution; noise level, tail weight and direction at each resolution."""
    for axis in (-1, -2):
        yield _skewness(second_difference(luma, axis))
    for _ in range(SCALES):
        high = high_pass(luma)
        level = _log(noise_level(high))[:, 0]
        yield level
        yield _log(high.flatten(1).std(1)) - level
        yield _log(luma.diff(dim=-1).abs().mean((1, 2, 3))) - _log(luma.diff(dim=-2).abs().mean((1, 2, 3)))
        luma = functional.avg_pool2d(luma, 2)


def _mosaic(images: Tensor) -> Iterator[Tensor]:
    """Yield how much better interpolation predicts one half of the pixels of a Bayer mosaic than the other half."""
    green = images[:, 1]
    residual = (second_difference(green, -1)[:, 1:-1] + second_difference(green, -2)[..., 1:-1]) / 2
    rows, columns = (torch.arange(side, device=images.device) for side in residual.shape[1:])
    odd = (rows[:, None] + columns) % 2
    signs = (2 * odd - 1) / torch.where(odd > 0, odd.sum(), (1 - odd).sum())
    yield (_robust_log(residual) * signs).sum((1, 2)).abs()
    for axis in (-1, -2):
        lines = _robust_log(second_difference(images[:, ::2], axis)).mean(-3 - axis)
        yield (lines[..., ::2].mean(-1) - lines[..., 1::2].mean(-1)).abs().mean(1)


def _blocks(luma: Tensor) -> Iterator[Tensor]:
    """Yield, for rows and columns, how far intensity steps at one of a block's 8 positions exceed those elsewhere."""
    for axis in (-1, -2):
        steps = _robust_log(luma.diff(dim=axis)).mean((1, -3 - axis))
        phases = steps[:, : steps.shape[1] // JPEG_BLOCK * JPEG_BLOCK].view(len(steps), -1, JPEG_BLOCK).mean(1)
        largest = phases.amax(1)
        yield largest - (phases.sum(1) - largest) / (JPEG_BLOCK - 1)


def _streaks(luma: Tensor) -> Iterator[Tensor]:
    """Yield how much contrast of thin lines remains after averaging along near-vertical and near-horizontal streaks.

    For near-vertical streaks, also yield the skewness, which distinguishes bright from dark streaks. The last statistic
    is the difference in log-contrast between near-vertical and near-horizontal streaks.
    """
    kernel = luma.new_zeros(len(SLANTS), 1, STREAK, 5)
    rows = torch.arange(STREAK)
    for streak, slant in zip(kernel[:, 0], SLANTS, strict=True):
        streak[rows, (2 + slant * (rows - STREAK // 2)).round().long()] = 1 / STREAK
    strengths = []
    for view in (luma, luma.mT):
        lines = second_difference(view, -1)
        means = functional.conv2d(lines, kernel).flatten(2)
        deviation, best = means.std(2).max(1)
        strengths.append(_log(deviation))
        yield strengths[-1] - _log(lines.flatten(1).std(1))
        if view is luma:
            yield _skewness(means[torch.arange(len(means)), best])
    yield strengths[0] - strengths[1]


def high_pass(images: Tensor) -> Tensor:
    """Filter N×C×H×W maps with [1 -2 1]ᵀ[1 -2 1] / 6, which keeps the level of white noise; return N×C×(H-2)×(W-2)."""
    rows = images[..., 2:, :] - 2 * images[..., 1:-1, :] + images[..., :-2, :]
    return (rows[..., 2:] - 2 * rows[..., 1:-1] + rows[..., :-2]) / 6


def noise_level(high: Tensor) -> Tensor:
    """Estimate N×C standard deviations from N×C×H×W samples of Gaussian noise by their median absolute deviation."""
    flat = high.flatten(2)
    return _quantile((flat - _quantile(flat, 0.5)[..., None]).abs(), 0.5) / 0.6745


def second_difference(images: Tensor, axis: int) -> Tensor:
    """Return each pixel minus the mean of its two neighbours along an axis, without the border."""
    length = images.shape[axis] - 2
    before, pixels, after = (images.narrow(axis, start, length) for start in range(3))
    return pixels - (before + after) / 2


def _levels(high: Tensor) -> Tensor:
    """Estimate the standard deviation of Gaussian noise in each of P patches, N×C×P, from the mean absolute value."""
    return functional.avg_pool2d(high.abs(), PATCH).flatten(2) * sqrt(pi / 2)


def _quantile(values: Tensor, share: float) -> Tensor:
    """Return a quantile along the last axis, not interpolated.

    The values are sorted, since `torch.median` has no deterministic kernel on GPUs.
    """
    return values.sort(-1).values[..., int(share * (values.shape[-1] - 1))]


def _correlation(one: Tensor, other: Tensor, flat: Tensor) -> Tensor:
    """Return the correlation of two zero-mean N×H×W maps; `flat` holds the N×P weights of each image's P patches."""
    products = (one * other, one * one, other * other)
    covariance, *variances = (
        (functional.avg_pool2d(product[:, None], PATCH).flatten(1) * flat).sum(1) for product in products
    )
    correlation: Tensor = covariance / ((variances[0] * variances[1]).sqrt() + FAINT**2)
    return correlation


def _skewness(values: Tensor) -> Tensor:
    centred = values.flatten(1) - values.flatten(1).mean(1, keepdim=True)
    return (centred / (centred.square().mean(1, keepdim=True).sqrt() + FAINT)).pow(3).mean(1)


def _robust_log(differences: Tensor) -> Tensor:
    """Return log-magnitudes, whose mean depends less on a few strong edges than the mean of the magnitudes does."""
    return (differences.abs() + HALF_LEVEL).log()


def _log(amplitude: Tensor) -> Tensor:
    return (amplitude + FAINT).log()
