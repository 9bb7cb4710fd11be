"""Restore images with an exported network: `python run.py IN OUT`.

IN is an image or a folder of images; OUT is a folder. Images of any size are cut into overlapping tiles. The script
needs numpy, Pillow and onnxruntime (or torch).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Forward = Callable[[Floats], Floats]
"""A function that maps a 1×3×T×T tile in [0, 1] to a restored 1×3×sT×sT tile, where s is the scale."""


def starts(length: int, side: int, overlap: int) -> list[int]:
    """Return the start positions of the fewest tiles that cover an axis and overlap by at least `overlap`."""
    count = 1 + -(-(length - side) // (side - overlap))
    return [round(place) for place in np.linspace(0, length - side, count)]


def axis_weights(places: list[int], side: int, overlap: int, scale: int, left: float) -> Floats:
    """Return the blending weights of each tile along one axis; at each output pixel, the tiles' weights sum to 1."""
    shared, margin = overlap * scale, int(overlap * scale * left)
    edge = np.clip((np.arange(1, shared + 1) - margin) / (shared + 1 - 2 * margin), 0, 1)
    weights = np.ones((len(places), side * scale))
    if shared:
        weights[1:, :shared] *= edge
        weights[:-1, -shared:] *= edge[::-1]
    total = np.zeros((places[-1] + side) * scale)
    for place, own in zip(places, weights, strict=True):
        total[place * scale : (place + side) * scale] += own
    return np.stack(
        [own / total[place * scale : (place + side) * scale] for place, own in zip(places, weights, strict=True)]
    ).astype(np.float32)


def mirrored(image: Floats, side: int) -> Floats:
    """Pad a 1×3×H×W image to at least side×side by mirroring it about its last row and column."""
    for axis in (2, 3):
        length, last = max(image.shape[axis], side), 2 * (image.shape[axis] - 1)
        steps = np.arange(length) % max(1, last)
        image = image.take(np.minimum(steps, last - steps), axis)
    return image


def restore(forward: Forward, image: Floats, tile: int, overlap: int, scale: int, left: float) -> Floats:
    """Restore a 1×3×H×W image in [0, 1] tile by tile; return a 1×3×sH×sW image, not clipped, where s is the scale."""
    height, width = image.shape[2:]
    padded = mirrored(image, tile)
    rows, columns = (starts(length, tile, overlap) for length in padded.shape[2:])
    down, across = (axis_weights(places, tile, overlap, scale, left) for places in (rows, columns))
    restored = np.zeros((1, 3, (rows[-1] + tile) * scale, (columns[-1] + tile) * scale), np.float32)
    for (i, y), (j, x) in product(enumerate(rows), enumerate(columns)):
        part = forward(np.ascontiguousarray(padded[:, :, y : y + tile, x : x + tile]))
        area = (slice(y * scale, (y + tile) * scale), slice(x * scale, (x + tile) * scale))
        restored[0, :, area[0], area[1]] += part[0] * (down[i][:, None] * across[j])
    return restored[:, :, : height * scale, : width * scale]


def load(path: Path) -> Forward:
    """Load the network from an ONNX or `torch.export` file."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
        return lambda tile: np.asarray(session.run(None, {"images": tile})[0], np.float32)
    import torch

    module = torch.export.load(path).module()
    return lambda tile: module(torch.from_numpy(tile)).detach().numpy().astype(np.float32)


def read(path: Path) -> Floats:
    """Read an image as a 1×3×H×W array in [0, 1], rotated according to its EXIF orientation."""
    with PIL.Image.open(path) as file:
        image = np.asarray(PIL.ImageOps.exif_transpose(file).convert("RGB"), np.float32)
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None] / 255)


def main() -> None:
    """Restore the image or the folder of images named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="an image or a folder of images")
    parser.add_argument("out", type=Path, help="a folder for the restored images")
    parser.add_argument("--network", type=Path, default=Path(__file__).parent, help="the folder of network.json")
    asked = parser.parse_args()
    about = json.loads((asked.network / "network.json").read_text(encoding="utf-8"))
    tiling = {name: about[name] for name in ("tile", "overlap", "scale", "left")}
    forward = load(asked.network / about["file"])
    known = PIL.Image.registered_extensions()
    paths = sorted(asked.source.iterdir()) if asked.source.is_dir() else [asked.source]
    asked.out.mkdir(parents=True, exist_ok=True)
    for path in (path for path in paths if path.suffix.lower() in known):
        restored = restore(forward, read(path), **tiling)[0].transpose(1, 2, 0)
        PIL.Image.fromarray(np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)).save(
            asked.out / f"{path.stem}.png"
        )


if __name__ == "__main__":
    main()
