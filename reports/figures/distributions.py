"""Distributions over images: gains of each method on each image, and the images on which methods differ most."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from petlir.reports.figures.axis import Axis, spanning
from petlir.reports.results import FROZEN, INPUT

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 190, 740, 12, 24
MOST = 8
"""The maximum number of listed images on which methods differ most."""
TICK = 5
"""Half the height of an image's tick, in SVG units."""


@dataclass(frozen=True)
class Spread:
    """One method: quartiles and mean of its gains in SVG units, with a tick for each image."""

    label: str
    colour: str
    y: float
    mean: float
    low: float
    middle: float
    high: float
    ticks: str


@dataclass(frozen=True)
class Distribution:
    """Gains of all methods in one column: dB over `base` on each image, averaged over seeds.

    Attributes:
        name: set, protocol and budget.
        base: `frozen`, or the degraded image if there is no frozen network.
        rows: the methods by decreasing median gain, which is not a ranking.
    """

    name: str
    base: str
    x: Axis
    height: int
    images: int
    rows: tuple[Spread, ...]


@dataclass(frozen=True)
class Contested:
    """An image on which trained methods differ, with the methods of lowest and highest PSNR in dB."""

    set: str
    image: str
    protocol: str
    low: str
    low_psnr: float
    high: str
    high_psnr: float

    @property
    def spread(self) -> float:
        """The difference between the highest and the lowest PSNR, in dB."""
        return self.high_psnr - self.low_psnr


def per_image(frame: pd.DataFrame) -> pd.DataFrame:
    """Return images × labels: mean PSNR over seeds in dB, NaN for images restored exactly."""
    table = frame.pivot_table(index=["set", "image"], columns="label", values="psnr")
    return table.replace(np.inf, np.nan)


def distribution(name: str, frame: pd.DataFrame, colours: Mapping[str, str]) -> Distribution | None:
    """Return the gains of the methods in one column; None if no method has any.

    Args:
        name: the name of the column.
        frame: its scores, see `reports.frame.score_frame`.
        colours: the style of each trained label.
    """
    table = per_image(frame)
    base = FROZEN if FROZEN in table else INPUT
    reference = table[FROZEN] if base == FROZEN else frame.groupby(["set", "image"]).input_psnr.mean()
    gains = table.drop(columns=[FROZEN], errors="ignore").sub(reference, axis=0).dropna(axis=1, how="all")
    if gains.empty:
        return None
    order = gains.median().sort_values(ascending=False, kind="stable").index
    x = spanning([*gains.min(), *gains.max(), 0.0], LEFT, RIGHT)
    rows = tuple(_spread(label, gains[label].dropna(), x, place, colours) for place, label in enumerate(order))
    return Distribution(name, base, x, TOP + ROW * len(rows) + 34, len(gains), rows)


def _spread(label: str, gains: pd.Series, x: Axis, place: int, colours: Mapping[str, str]) -> Spread:
    y = TOP + ROW * (place + 0.5)
    low, middle, high = (x(float(value)) for value in np.percentile(gains, (25, 50, 75)))
    ticks = "".join(f"M{x(gain)} {y - TICK:g}v{2 * TICK}" for gain in gains)
    return Spread(label, colours.get(label, ""), y, x(float(gains.mean())), low, middle, high, ticks)


def contested(frame: pd.DataFrame, trained: Sequence[str]) -> list[Contested]:
    """Return the images on which trained methods differ most, the largest spread first."""
    found: list[Contested] = []
    for protocol, rows in frame[frame.label.isin(trained)].groupby("protocol"):
        table = per_image(rows)
        table = table[table.notna().sum(axis=1) > 1]
        found += [_contested(place, row.dropna(), str(protocol)) for place, row in table.iterrows()]
    return sorted(found, key=lambda one: -one.spread)[:MOST]


def _contested(place: Hashable, row: pd.Series, protocol: str) -> Contested:
    low, high = str(row.idxmin()), str(row.idxmax())
    set_, image = cast("tuple[str, str]", place)
    return Contested(set_, image, protocol, low, float(row[low]), high, float(row[high]))
