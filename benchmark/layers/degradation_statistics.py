"""A description of an image's degradation by exposure and high-pass statistics, for networks of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from petlir.benchmark.backbone import Backbone

LUMA = (0.299, 0.587, 0.114)
"""The weights of luma (ITU-R BT.601)."""
QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
SCALES = 3
"""The number of resolutions, each half the previous one."""
LEAST = 32
"""The minimum side length in pixels; smaller images are padded by repeating the last row and column."""
BLOCK = 8
"""The side length of a JPEG block in pixels."""
FAINT = 1e-4
"""Added to amplitudes in [0, 1] before logarithms and divisions; 1/40 of a grey level."""
MOST = 2**17
"""The maximum number of pixels for quantiles; in larger images only every k-th pixel is used."""


@dataclass(frozen=True)
class DegradationStatistics:
    """39 statistics of exposure, noise, streaks and blocks; amplitudes are logarithmic.

    Source: the high-pass filter and the robust noise level of Immerkær, Fast noise variance estimation, CVIU 1996, and
    Donoho & Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 1994. The selection is ours.
    """

    def width(self, backbone: Backbone) -> int:
        """Return 39."""
        return 39

    @torch.no_grad()
    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Describe images N×3×H×W in [0, 1] as N×39; the backbone is not used."""
        down, right = (max(0, LEAST - side) for side in images.shape[-2:])
        images = functional.pad(images.float(), (0, right, 0, down), mode="replicate")
        luma = torch.einsum("c,nchw->nhw", images.new_tensor(LUMA), images)[:, None]
        parts = (_exposure(images, luma), _colour(images), _scales(luma), _texture(luma), _blocks(luma))
        return torch.stack([number for part in parts for number in part], 1)


def _exposure(images: Tensor, luma: Tensor) -> Iterator[Tensor]:
    """Yield quantiles, contrast and mean of the luma, and the fractions of black and white samples."""
    flat = luma.flatten(1)
    sampled = flat[:, :: -(-flat.shape[1] // MOST)]
    yield from torch.quantile(sampled, images.new_tensor(QUANTILES), dim=1)
    yield _log(flat.std(1))
    yield _log(flat.mean(1))
    yield (images <= 0.5 / 255).float().mean((1, 2, 3))
    yield (images >= 254.5 / 255).float().mean((1, 2, 3))


def _colour(images: Tensor) -> Iterator[Tensor]:
    """Yield the noise level of each channel, and the correlations between channels: rain is grey, noise is not."""
    high = high_pass(images)
    yield from _log(noise_level(high)).T
    for one, other in ((0, 1), (0, 2), (1, 2)):
        yield _correlation(high[:, one], high[:, other])


def _scales(luma: Tensor) -> Iterator[Tensor]:
    """Yield the noise level, tail, direction, skewness and kurtosis at each resolution."""
    for _ in range(SCALES):
        high = high_pass(luma)
        level = _log(noise_level(high))[:, 0]
        yield level
        yield _log(high.flatten(1).std(1)) - level
        yield _log(luma.diff(dim=-1).abs().mean((1, 2, 3))) - _log(luma.diff(dim=-2).abs().mean((1, 2, 3)))
        yield _moment(high, 3)
        yield _log(_moment(high, 4))
        luma = functional.avg_pool2d(luma, 2)


def _texture(luma: Tensor) -> Iterator[Tensor]:
    """Yield spatial correlations, dependence of the noise on the signal, and asymmetry across thin lines."""
    high = high_pass(luma)
    for lag in (1, 2):
        yield _correlation(high[..., lag:], high[..., :-lag])
        yield _correlation(high[..., lag:, :], high[..., :-lag, :])
    centre, size = luma[..., 1:-1, 1:-1], high.abs()
    dark = (centre <= _median(centre.flatten(1)).view(-1, 1, 1, 1)).float()
    light = 1 - dark
    levels = [(size * half).sum((1, 2, 3)) / half.sum((1, 2, 3)).clamp(min=1) for half in (dark, light)]
    yield _log(levels[0]) - _log(levels[1])
    for axis in (-1, -2):
        yield _moment(luma.narrow(axis, 1, luma.shape[axis] - 2) - _neighbours(luma, axis), 3)


def _blocks(luma: Tensor) -> Iterator[Tensor]:
    """Yield the excess of intensity steps between 8×8 blocks over those within blocks, along rows and columns."""
    for axis, others in ((-1, (1, 2)), (-2, (1, 3))):
        steps = luma.diff(dim=axis).abs().mean(others)
        blocks = steps[:, : steps.shape[1] // BLOCK * BLOCK].reshape(len(steps), -1, BLOCK)
        yield _log(blocks[..., -1].mean(1)) - _log(blocks[..., :-1].mean((1, 2)))


def high_pass(images: Tensor) -> Tensor:
    """Filter N×C×H×W with [1 -2 1]ᵀ[1 -2 1] / 6, which keeps the level of white noise; return N×C×(H-2)×(W-2)."""
    rows = images[..., 2:, :] - 2 * images[..., 1:-1, :] + images[..., :-2, :]
    return (rows[..., 2:] - 2 * rows[..., 1:-1] + rows[..., :-2]) / 6


def noise_level(high: Tensor) -> Tensor:
    """Estimate the standard deviation N×C of Gaussian noise N×C×H×W from the median absolute deviation."""
    flat = high.flatten(2)
    return _median((flat - _median(flat)[..., None]).abs()) / 0.6745


def _median(values: Tensor) -> Tensor:
    """Return the median along the last axis; `torch.median` has no deterministic kernel on GPUs."""
    return values.sort(-1).values[..., (values.shape[-1] - 1) // 2]


def _neighbours(luma: Tensor, axis: int) -> Tensor:
    """Return the mean of the two neighbours of each pixel along an axis, without the border."""
    length = luma.shape[axis] - 2
    return (luma.narrow(axis, 0, length) + luma.narrow(axis, 2, length)) / 2


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    first, second = (values.flatten(1) - values.flatten(1).mean(1, keepdim=True) for values in (one, other))
    spread = (first.square().mean(1) * second.square().mean(1)).sqrt()
    return (first * second).mean(1) / (spread + FAINT**2)


def _moment(values: Tensor, order: int) -> Tensor:
    centred = values.flatten(1) - values.flatten(1).mean(1, keepdim=True)
    return (centred / (centred.square().mean(1, keepdim=True).sqrt() + FAINT)).pow(order).mean(1)


def _log(amplitude: Tensor) -> Tensor:
    return (amplitude + FAINT).log()
