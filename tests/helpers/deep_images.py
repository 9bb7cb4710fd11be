"""Image files with 16 bits per channel, written from their specifications."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Deep = NDArray[np.uint16]
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Number of channels → colour type of PNG."""


def deep_files(pixels: Deep) -> dict[str, bytes]:
    """Return H×W×3 pixels encoded in each format, by file suffix."""
    height, width = pixels.shape[:2]
    return {
        "png": deep_png(pixels),
        "tif": deep_tiff(pixels),
        "ppm": f"P6 {width} {height} 65535\n".encode() + pixels.astype(">u2").tobytes(),
    }


def deep_png(pixels: Deep, more: bytes = b"") -> bytes:
    """Encode H×W×C pixels as a PNG whose rows use the five filters in turn; `more` are chunks after the header."""
    height, width, count = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)
    step = 2 * count
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left, corner = (np.pad(one, ((0, 0), (step, 0)))[:, :-step] for one in (rows, above))
    guess = left + above - corner
    gaps = [abs(guess - one) for one in (left, above, corner)]
    paeth = np.where((gaps[0] <= gaps[1]) & (gaps[0] <= gaps[2]), left, np.where(gaps[1] <= gaps[2], above, corner))
    predicted = [np.zeros_like(rows), left, above, (left + above) // 2, paeth]
    data = b"".join(
        bytes([row % 5]) + ((rows[row] - predicted[row % 5][row]) % 256).astype(np.uint8).tobytes()
        for row in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[count], 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more
    return start + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def deep_tiff(pixels: Deep, orientation: int = 1, **options: Any) -> bytes:
    """Encode H×W×C pixels as a TIFF; `options` are passed to tifffile."""
    buffer, count = io.BytesIO(), pixels.shape[2]
    alpha: dict[str, Any] = {"extrasamples": ["unassalpha"]} if count == 4 else {}
    tags = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(buffer, pixels, photometric="rgb", extratags=tags, **alpha, **options)
    return buffer.getvalue()
