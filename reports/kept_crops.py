"""Crops of photographs for the image inspector of a report, kept by stores that do not keep whole images.

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
"""A crop's side and coordinates are multiples of this number, so that low-resolution crops have whole pixels."""
PLACE = re.compile(r"@\d+,\d+")


def find(store: Path, image: Path) -> str:
    """Return the position `@X,Y` of the crop that a store keeps of an image; empty if the store keeps no crop.

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
    """Write a crop of each version of a photograph around a box, and delete earlier crops at other positions.

    Args:
        into: the store into which the crops are written.
        images: the H×W×3 versions of the photograph by path in the store; the last version is the clean image, and
            other versions may be smaller by an integer factor.
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
