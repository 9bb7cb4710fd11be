"""PSNR and SSIM of two images of any size and bit depth; large images are scored in bands of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf, log10
from typing import cast

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.decoding import Pixels
from petlir.benchmark.protocol import Protocol
from petlir.benchmark.scoring.psnr_ssim import GREY, psnr, ssim

BAND_PIXELS = 2**19
"""The approximate number of pixels of a band; images with fewer pixels are scored whole."""
Floats = NDArray[np.float64]
Values = Callable[[Pixels], Floats]
"""A function that converts image rows to the values that are compared, on the scale 0..255."""


def check_size(width: int, height: int, rule: Protocol) -> None:
    """Raise PetlirError if images of this size cannot be scored: no pixel or no SSIM window fits inside the border."""
    inside = [side - 2 * rule.border for side in (width, height)]
    if min(inside) < (rule.window if rule.ssim == "2d" else 1):
        least = rule.window if rule.ssim == "2d" else 1
        left = "×".join(str(max(0, side)) for side in inside)
        raise PetlirError(f"SSIM under {rule.id} needs {least}×{least} pixels inside the border; {left} are left")


def score_pair(restored: Pixels, clean: Pixels, rule: Protocol) -> tuple[float, float]:
    """Return the PSNR, in dB, and the SSIM of a restored image.

    Args:
        restored: H×W×3 uint8 or uint16.
        clean: an image of the same size as `restored`; if the bit depths differ, the image with fewer bits is scaled
            to the range of the other image.
        rule: the protocol; 16-bit images are scored with their own peak and are not rounded to 8 bits.
    """
    deep = np.uint16 in (restored.dtype, clean.dtype)
    if not deep and clean.shape[0] * clean.shape[1] <= BAND_PIXELS:
        pair = cast("Image", restored), cast("Image", clean)
        return psnr(*pair, rule), ssim(*pair, rule)
    ratio = _brightness(clean) / (_brightness(restored) or inf) or 1.0 if rule.uses_reference else 1.0

    def compared(rows: Pixels) -> Floats:
        values = (_byte_scale(rows) * ratio).clip(0, rule.peak)
        return values if deep else np.rint(values)

    inner = slice(rule.border, -rule.border or None)
    pair_inside = restored[inner, inner], clean[inner, inner]
    bare = replace(rule, border=0, uses_reference=False)
    return _psnr(*pair_inside, bare, compared), _ssim(*pair_inside, bare, compared)


def _psnr(restored: Pixels, clean: Pixels, rule: Protocol, compared: Values) -> float:
    error = 0.0
    for rows in _bands(clean, 0, 1):
        found = psnr(*_images(restored[rows], clean[rows], compared), rule)
        error += rule.peak**2 * 10.0 ** (-found / 10.0) * (rows.stop - rows.start) / len(clean)
    return 10 * log10(rule.peak**2 / error) if error else inf


def _ssim(restored: Pixels, clean: Pixels, rule: Protocol, compared: Values) -> float:
    """Return the mean SSIM over all windows.

    Neighbouring bands share one row fewer than a window spans. For 2D SSIM, each window is thus contained in exactly
    one band. For 3D SSIM, a band is padded by repeating its edge rows, so windows at edges inside the image are
    wrong. Together, the wrong windows of two neighbouring bands equal all windows of an image that consists only of the
    shared rows; these windows are subtracted.
    """
    shared = rule.window - 1
    lost = shared if rule.ssim == "2d" else 0
    total, bands = 0.0, list(_bands(clean, shared, rule.window))
    for place, rows in enumerate(bands):
        total += _sum(restored, clean, rows, rule, compared, lost)
        if rule.ssim == "3d" and place + 1 < len(bands):
            total -= _sum(restored, clean, slice(bands[place + 1].start, rows.stop), rule, compared, lost)
    return total / (len(clean) - lost)


def _sum(restored: Pixels, clean: Pixels, rows: slice, rule: Protocol, compared: Values, lost: int) -> float:
    mean = ssim(*_images(restored[rows], clean[rows], compared), rule)
    return mean * float(rows.stop - rows.start - lost)


def _bands(image: Pixels, shared: int, least: int) -> Iterator[slice]:
    """Yield bands of rows; neighbouring bands share `shared` rows, and each has at least `least` additional rows."""
    height, step = len(image), max(least, BAND_PIXELS // image.shape[1])
    for start in range(0, max(1, height - shared - least + 1), step):
        last = start + step + shared + least > height
        yield slice(start, height if last else start + step + shared)
        if last:
            return


def _images(restored: Pixels, clean: Pixels, compared: Values) -> tuple[Image, Image]:
    """Convert rows of both images to arguments for `psnr` and `ssim`, which accept any numeric dtype."""
    return cast("Image", compared(restored)), cast("Image", _byte_scale(clean))


def _byte_scale(rows: Pixels) -> Floats:
    values: Floats = rows / (1.0 if rows.dtype == np.uint8 else 257.0)
    return values


def _brightness(image: Pixels) -> float:
    """Return the mean grey of an image on the scale 0..255."""
    assert GREY.luma is not None
    means = [_byte_scale(image[rows]).mean((0, 1)) * (rows.stop - rows.start) for rows in _bands(image, 0, 1)]
    return float(np.sum(means, 0) @ GREY.luma) / len(image)
