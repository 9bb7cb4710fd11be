"""Bicubic upscaling of large or 16-bit images in bands of rows, so that temporary arrays stay small."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from petlir.benchmark.degradations.resize import axis_weights

THREADS = min(4, os.cpu_count() or 1)
"""The number of bands that are computed concurrently, in threads, because NumPy and SciPy release the GIL."""
BAND = 2**20
"""The approximate number of pixel values in a band of rows."""
Pixels = NDArray[np.uint8 | np.uint16]


def enlarge_in_bands(image: Pixels, scale: int) -> Pixels:
    """Return the image, H×W×C uint8 or uint16, upscaled by `scale`.

    For 8-bit RGB images, the result is identical to the result of `petlir.benchmark.degradations.resize.enlarge`.
    """
    height, width, channels = image.shape
    rows, columns = (axis_weights(side, side * scale, scale) for side in (height, width))
    peak = np.iinfo(image.dtype).max
    enlarged = np.empty((height * scale, width * scale, channels), image.dtype)
    step = max(1, BAND // (width * scale * channels))

    def fill(start: int) -> None:
        weights = rows[start : start + step]
        first, last = weights.indices.min(), weights.indices.max() + 1
        near = csr_array((weights.data, weights.indices - first, weights.indptr), (weights.shape[0], last - first))
        down = (near @ image[first:last].reshape(last - first, -1).astype(np.float64)).reshape(-1, width, channels)
        across = columns @ down.transpose(1, 0, 2).reshape(width, -1)
        across += 0.5
        band = across.clip(0.5, peak + 0.5, out=across).reshape(width * scale, -1, channels).transpose(1, 0, 2)
        enlarged[start : start + step] = band  # truncation of positive values equals floor

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fill, range(0, height * scale, step)))
    return enlarged
