"""Spectra of features: the relative log amplitude of Park and Kim, and its heterogeneity over tasks.

Source: Park and Kim, How Do Vision Transformers Work?, ICLR 2022, §3. AdaptIR (NeurIPS 2024) plots relative log
amplitudes of the features that PETL methods add (Figures 1, 5, 8–10) and calls a method homogeneous if its curves are
similar for all degradations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Layout

POINTS = 12
"""The number of frequencies of a curve, in equal steps from 0 to just below the Nyquist frequency."""
DRAWS = 1000
Curves = NDArray[np.float64]
"""Curves of images, N×POINTS; NaN for images without a curve."""


def relative_log_amplitude(maps: Tensor) -> Tensor:
    """Return log |F| along the diagonal minus its value at frequency 0: N×⌊m/2⌋ for N×C×H×W maps, m the shorter side.

    F is the two-dimensional Fourier transform of a map's central m×m region. Logarithms are averaged over channels.
    Column k is the value at the fraction k / ⌊m/2⌋ of the Nyquist frequency. For images whose maps are all zero, the
    values are NaN.
    """
    side = min(maps.shape[-2:])
    top, left = ((length - side) // 2 for length in maps.shape[-2:])
    middle = maps[..., top : top + side, left : left + side].double()
    logs = torch.fft.fft2(middle).abs().log().diagonal(dim1=-2, dim2=-1)[..., : side // 2]
    logs = torch.where(logs.isfinite(), logs, torch.nan).nanmean(1)
    return logs - logs[:, :1]


def resampled(curves: Tensor, points: int = POINTS) -> Curves:
    """Interpolate N×L curves, of any length L, linearly at `points` frequencies."""
    own, wanted = np.linspace(0, 1, curves.shape[1], endpoint=False), np.linspace(0, 1, points, endpoint=False)
    return np.stack([np.interp(wanted, own, curve) for curve in curves.cpu().numpy()])


@torch.no_grad()
def added_maps(adapted: Backbone, frozen: Backbone, images: Tensor, head: str) -> list[Tensor]:
    """Return the N×C×H×W features that a method adds after each block, for N×3×h×w images.

    The added features of a block are its output minus the output of the frozen block for the same input, so the method
    may act anywhere in the block.
    """
    found: list[Tensor] = []

    def watch(layout: Layout, twin: nn.Module) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], named: dict[str, object], output: Tensor) -> None:
            found.append(layout.to_map(output - twin(*inputs, **named)))

        return hook

    with ExitStack() as watched:
        for block, twin in zip(adapted.blocks(), frozen.blocks(), strict=True):
            hook = watch(block.layout, twin.site.module)
            watched.enter_context(block.site.module.register_forward_hook(hook, with_kwargs=True))
        adapted(images, head)
    return found


@torch.no_grad()
def own_maps(backbone: Backbone, images: Tensor, head: str) -> list[Tensor]:
    """Return the N×C×H×W features after each block of a network."""
    found: list[Tensor] = []

    def watch(layout: Layout) -> Callable[..., None]:
        return lambda module, inputs, output: found.append(layout.to_map(output))

    with ExitStack() as watched:
        for block in backbone.blocks():
            watched.enter_context(block.site.module.register_forward_hook(watch(block.layout)))
        backbone(images, head)
    return found


def curves_of(maps: Sequence[Tensor]) -> Curves:
    """Return a curve for each image: the mean over those of its maps for which a curve is defined."""
    stacked = np.ma.masked_invalid(np.stack([resampled(relative_log_amplitude(one)) for one in maps]))
    return np.ma.filled(stacked.mean(0), np.nan)


def heterogeneity(curves: Mapping[str, Curves]) -> float:
    """Return the mean absolute difference between two tasks' mean curves, averaged over pairs of tasks."""
    means = [np.nanmean(one, 0) for one in curves.values()]
    return float(np.mean([np.abs(a - b).mean() for a, b in combinations(means, 2)]))


def interval(curves: Mapping[str, Curves], draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of `heterogeneity`; tasks with the same number of images share resamples."""
    numbers = np.random.default_rng(seed)
    counts = sorted({len(one) for one in curves.values()})
    found = []
    for _ in range(draws):
        drawn = {count: numbers.integers(count, size=count) for count in counts}
        found.append(heterogeneity({task: one[drawn[len(one)]] for task, one in curves.items()}))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)
