"""PNG files of restored and degraded images: 8 or 16 bits per channel, with or without an alpha channel."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.PngImagePlugin import PngInfo

from petlir.benchmark.images.decoding import Pixels
from petlir.benchmark.writing import write_bytes

SOFTWARE = "petlir"
"""The `Software` entry that distinguishes files written by petlir from the user's own files."""
LEVEL, STRATEGY = 1, zlib.Z_RLE
"""Settings of zlib; on filtered photographs, run-length encoding is faster than the default and gives smaller files."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT = b"Software\0" + SOFTWARE.encode()
COLOUR_TYPES = {3: 2, 4: 6}
"""Number of channels → PNG colour type, for RGB and for RGB with alpha."""
BAND = 2**22
"""The approximate number of uncompressed bytes that are filtered at once."""


def write(path: Path, pixels: Pixels, alpha: Pixels | None = None) -> None:
    """Write an image atomically.

    Args:
        path: the file; its folder is created if missing.
        pixels: H×W×3, uint8 or uint16.
        alpha: the alpha channel, H×W, with the dtype of `pixels`, or None.

    Raises:
        Unwritable: the file cannot be written.
    """
    channels: Pixels = pixels if alpha is None else np.dstack([pixels, alpha])
    write_bytes(path, _deep(channels) if pixels.dtype == np.uint16 else _eight_bit(channels))


def is_own(path: Path) -> bool:
    """Return True if `write` has written this file."""
    start = len(SIGNATURE) + 25  # the header chunk
    try:
        with path.open("rb") as file:
            begin = file.read(start + 8 + len(TEXT))
    except OSError:
        return False
    return begin.startswith(SIGNATURE) and begin[start + 4 :] == b"tEXt" + TEXT


def _eight_bit(channels: Pixels) -> bytes:
    about, content = PngInfo(), io.BytesIO()
    about.add_text("Software", SOFTWARE)
    PIL.Image.fromarray(channels).save(
        content, format="PNG", compress_level=LEVEL, compress_type=STRATEGY, pnginfo=about
    )
    return content.getvalue()


def _deep(channels: Pixels) -> bytes:
    """Encode H×W×C uint16 pixels, which Pillow cannot encode; rows are stored as differences from the row above."""
    height, width, count = channels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[count], 0, 0, 0)
    packer = zlib.compressobj(LEVEL, strategy=STRATEGY)
    packed: list[bytes] = []
    above = np.zeros((1, width * count * 2), np.uint8)
    step = max(1, BAND // above.size)
    for start in range(0, height, step):
        rows = np.ascontiguousarray(channels[start : start + step].astype(">u2")).view(np.uint8).reshape(-1, above.size)
        filtered = rows - np.concatenate([above, rows[:-1]])
        packed.append(packer.compress(np.insert(filtered, 0, UP, axis=1).tobytes()))
        above = rows[-1:]
    content = b"".join([*packed, packer.flush()])
    chunks = ((b"IHDR", header), (b"tEXt", TEXT), (b"IDAT", content), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


UP = 2
"""The PNG filter type that stores differences from the row above."""


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
