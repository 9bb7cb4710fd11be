"""Crops of photographs, which a store that keeps no images may hold for the inspector of its report.

The crop of STORE/FOLDER/NAME.png is STORE/crops/FOLDER/NAME@X,Y.png, where X, Y is its upper-left corner.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path

from petlir.benchmark.images import png
from petlir.reports.crops import CropBox, Pixels

FOLDER = "crops"
SIDE = 120
"""The maximum side of a kept crop, in pixels of the clean image."""
GRID = 12
"""The side and the corner of a crop are multiples of this number, so that low-resolution images have whole pixels."""
PLACE = re.compile(r"@\d+,\d+")


def find(store: Path, image: Path) -> str:
    """Return the place `@X,Y` of the crop that a store keeps of an image; empty if it keeps none.

    Args:
        store: the store.
        image: the path of the whole image, relative to the store.
    """
    return next(iter(_places(store, image)), "")


def _places(store: Path, image: Path) -> list[str]:
    found = (store / FOLDER / image.parent).glob(f"{glob.escape(image.stem)}@*.png")
    places = (path.stem.removeprefix(image.stem) for path in found)
    return sorted(filter(PLACE.fullmatch, places))


def crop_of(image: Path, place: str) -> Path:
    """Return the path of an image's crop, relative to the store."""
    return Path(FOLDER) / image.with_name(f"{image.stem}{place}.png")


def write(into: Path, images: Mapping[Path, Pixels], box: CropBox) -> None:
    """Write the crops around a box of all versions of a photograph; they replace crops at other places.

    Args:
        into: the store that keeps the crops.
        images: path in the store → H×W×3 version; the last one is the clean image, and others may be smaller by an
            integer factor.
        box: the box in pixels of the clean image.
    """
    height, width = [*images.values()][-1].shape[:2]
    side = min(SIDE, height // GRID * GRID, width // GRID * GRID)
    x, y = (
        max(0, min(start + (box["side"] - side) // 2, length - side)) // GRID * GRID
        for start, length in ((box["x"], width), (box["y"], height))
    )
    for path, image in images.items():
        scale = height // image.shape[0]
        if image.shape[:2] == (height // scale, width // scale):
            rows, columns = (slice(start // scale, (start + side) // scale) for start in (y, x))
            png.write(into / crop_of(path, place := f"@{x},{y}"), image[rows, columns])
            for earlier in set(_places(into, path)) - {place}:
                (into / crop_of(path, earlier)).unlink()
