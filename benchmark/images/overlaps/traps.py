"""Published overlaps: image sets known to share images, reported even if the images are not available."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

FILE = Path(__file__).with_name("traps.csv")
Shared = Literal["images", "scenes", "maybe"]
"""The kind of an overlap: the same photographs, other photographs of the same scenes, or unknown."""


@dataclass(frozen=True)
class Trap:
    """A published overlap: an image set that shares images with a test set.

    Attributes:
        holder: name of the image set that contains images of the test set.
        held: name of the test set.
        images: number of shared images of the test set, or None if the number is unknown.
        shared: kind of overlap.
        statement: a sentence that describes the overlap.
        source: source of the statement.
    """

    holder: str
    held: str
    images: int | None
    shared: Shared
    statement: str
    source: str


@cache
def traps() -> dict[tuple[str, str], Trap]:
    """Return all published overlaps, by holder and test set."""
    with FILE.open(encoding="utf-8", newline="") as file:
        found = [_trap(row) for row in csv.DictReader(file)]
    return {(trap.holder, trap.held): trap for trap in found}


def _trap(row: dict[str, str]) -> Trap:
    images = int(row["images"]) if row["images"] else None
    return Trap(row["holder"], row["held"], images, cast("Shared", row["shared"]), row["statement"], row["source"])
