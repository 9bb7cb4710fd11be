"""Dead-leaves images, which share the statistics of photographs (edges at every scale, occlusion, texture).

Sources: Lee, Mumford & Huang, Occlusion models for natural images, IJCV 2001 (the dead-leaves model), and Achddou,
Gousseau & Ladjal, Synthetic images as a regularity prior for image restoration, 2021 (dead leaves as training data).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Image

Array: TypeAlias = NDArray[np.float32]

OVERSAMPLING = 2
AXES = np.array([[1, 1, 1], [1, 0.1, -1.1], [-0.5, 0.8, -0.3]], np.float32)
"""The principal axes of natural colours, one row each in RGB: lightness, yellow-blue and green-magenta."""


def leaves(seed: int, size: int) -> Image:
    """Draw a dead-leaves image, size×size×3 uint8: opaque textured shapes whose sizes follow a power law r⁻³."""
    from scipy.ndimage import gaussian_filter  # deferred, so that tasks can be listed without it

    rng = np.random.default_rng(seed)
    side = size * OVERSAMPLING
    labels, count = _occlude(rng, side)
    fine = _light(rng, _texture(rng, labels, count), side)
    pixels = fine.reshape(size, OVERSAMPLING, size, OVERSAMPLING, 3).mean((1, 3))
    if rng.random() < 0.2:
        pixels = gaussian_filter(pixels, (spread := rng.uniform(0.4, 1.5), spread, 0))
    image: Image = (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return image


def _occlude(rng: np.random.Generator, side: int) -> tuple[NDArray[np.int32], int]:
    """Return the leaf index of each pixel, and the number of indices.

    Leaves are drawn from front to back until all pixels are covered or no leaf is left; the last index denotes
    uncovered pixels.
    """
    smallest, largest = side * 0.6 ** rng.uniform(4.5, 9.5), side * rng.uniform(0.3, 0.8)
    count = int(min(1500, 2 * (side / smallest) ** 2 / np.log(largest / smallest)))
    radius = (smallest**-2 - rng.random(count) * (smallest**-2 - largest**-2)) ** -0.5
    stretch = np.where(rng.random(count) < 0.12, rng.uniform(6, 40, count), rng.uniform(1, 3, count)) ** 0.5
    centre = rng.uniform(-0.1, 1.1, (count, 2)) * side
    labels = np.full((side, side), count, np.int32)
    for leaf in range(count):
        if leaf % 64 == 0 and not (labels == count).any():
            break
        _draw(rng, labels, leaf, centre[leaf], (radius[leaf] * stretch[leaf], radius[leaf] / stretch[leaf]))
    return labels, count + 1


def _draw(
    rng: np.random.Generator,
    labels: NDArray[np.int32],
    leaf: int,
    centre: NDArray[np.float64],
    axes: tuple[float, float],
) -> None:
    """Write the index `leaf` to the uncovered pixels inside an ellipse, box or rhombus, which may be cut or bent."""
    angle, shape, cut, bend = rng.uniform(0, np.pi), rng.random(), rng.uniform(-1, 2), rng.normal() * 0.15
    cos, sin = np.cos(angle), np.sin(angle)
    width = axes[1] + (abs(bend) * axes[0] if shape < 0.3 else 0)
    rows = _span(centre[0], abs(sin) * axes[0] + abs(cos) * width, labels.shape[0])
    columns = _span(centre[1], abs(cos) * axes[0] + abs(sin) * width, labels.shape[1])
    view = labels[rows, columns]
    ground = view > leaf
    if not ground.any():
        return
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - np.float32(centre[1])
    u = np.abs((x * np.float32(cos) + y * np.float32(sin)) / np.float32(axes[0]))
    v = (y * np.float32(cos) - x * np.float32(sin)) / np.float32(axes[1])
    if shape < 0.3:
        v += np.float32(bend * axes[0] / axes[1]) * u * u
    inside = _norm(u, np.abs(v), shape) < 1
    if cut < 0.6:
        inside &= v < cut
    np.copyto(view, leaf, where=inside & ground)


def _span(centre: float, reach: float, side: int) -> slice:
    """Return the slice of pixel indices within `reach` of `centre` along an axis with `side` pixels."""
    return slice(int(min(max(centre - reach - 1, 0), side)), int(min(max(centre + reach + 2, 0), side)))


def _norm(u: Array, v: Array, shape: float) -> Array:
    """Return the norm of (u, v): squared Euclidean for an ellipse, maximum for a box, and sum for a rhombus."""
    if shape < 0.5:
        return u * u + v * v
    return np.maximum(u, v) if shape < 0.85 else u + v


def _palette(rng: np.random.Generator, count: int) -> Array:
    """Draw a colour per leaf, count×3 in 0..1, from a few base colours, most of them near grey, some saturated."""
    kinds = int(rng.integers(2, 16))
    lightness = rng.beta(1.2, 1.4, kinds) * rng.uniform(0.4, 1) + rng.uniform(0, 0.1)
    saturation = rng.gamma(0.8, 0.16, kinds)[:, None] * rng.uniform(0.3, 1.5)
    chroma = rng.normal(rng.normal(0, 0.5, 2), (1, 0.6), (kinds, 2)) * saturation
    opponents = np.column_stack([lightness, chroma * (0.2 + lightness[:, None])])
    variety = rng.gamma(1, 0.08, (count, 1)) * (1, 0.3, 0.2)
    leaf = opponents[rng.integers(0, kinds, count)] + rng.normal(size=(count, 3)) * variety
    colours: Array = (leaf @ AXES).clip(0.01, 0.99).astype(np.float32)
    return colours


def _texture(rng: np.random.Generator, labels: NDArray[np.int32], count: int) -> Array:
    """Return a side×side×3 image of leaves with colours, shading, 1/f grain and, on some leaves, stripes or checks."""
    side = labels.shape[0]
    grid: Array = np.linspace(0, side / OVERSAMPLING, side, endpoint=False, dtype=np.float32)
    slope = rng.normal(size=(2, count)) * rng.gamma(0.5, 0.6, count) / side * OVERSAMPLING
    relief = _plane(slope, rng.normal(0, 0.1, count), labels, grid)
    for roughness in (rng.uniform(0.2, 0.8), rng.uniform(0.9, 1.6)):
        strength = rng.gamma(0.5, 0.12, count) * (rng.random(count) < 0.6)
        relief += strength.astype(np.float32)[labels] * _fractal_noise(rng, side, roughness)
    ink = rng.gamma(1, 0.3, count) * (rng.random(count) < 0.2)
    relief += ink.astype(np.float32)[labels] * _waves(rng, labels, count, grid)
    colours = _palette(rng, count)
    tint = 0.1 + colours + rng.normal(0, 0.08, (count, 3)).astype(np.float32)
    return colours[labels] + tint[labels] * relief[..., None]


def _plane(slope: NDArray[np.float64], offset: NDArray[np.float64], labels: NDArray[np.int32], grid: Array) -> Array:
    """Evaluate, at each pixel, the linear function of the leaf that covers the pixel."""
    down, across = slope.astype(np.float32)
    plane: Array = down[labels] * grid[:, None] + across[labels] * grid + offset.astype(np.float32)[labels]
    return plane


def _waves(rng: np.random.Generator, labels: NDArray[np.int32], count: int, grid: Array) -> Array:
    """Return stripes and checks in -1..1, with soft to sharp edges and periods from 2.5 to 40 pixels."""
    period, angle = np.exp(rng.uniform(np.log(2.5), np.log(40), count)), rng.uniform(0, np.pi, count)
    direction = np.stack([np.sin(angle), np.cos(angle)]) * 2 * np.pi / period
    crossing = np.stack([direction[1], -direction[0]]) * (rng.random(count) < 0.35)
    stripes = np.sin(_plane(direction, rng.uniform(0, 2 * np.pi, count), labels, grid))
    checks = np.cos(_plane(crossing, np.zeros(count), labels, grid))
    sharpness = np.exp(rng.uniform(0, 3, count)).astype(np.float32)
    waves: Array = (stripes * checks * sharpness[labels]).clip(-1, 1)
    return waves


def _fractal_noise(rng: np.random.Generator, side: int, roughness: float) -> Array:
    """Return side×side noise of unit variance, with amplitudes proportional to 1 / frequency^`roughness`."""
    from scipy.fft import irfft2

    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    phases = rng.standard_normal((*frequency.shape, 2), np.float32).view(np.complex64)[..., 0]
    noise = irfft2(phases * (frequency**-roughness).astype(np.float32), (side, side))
    scaled: Array = noise / noise.std()
    return scaled


def _light(rng: np.random.Generator, pixels: Array, side: int) -> Array:
    """Light the scene with a smooth gradient over the whole image."""
    ramp = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    down, across = rng.normal(0, 0.2, 2).astype(np.float32)
    lit: Array = pixels * np.exp(down * ramp[:, None] + across * ramp)[..., None]
    return lit
