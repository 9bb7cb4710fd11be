"""Distributions of each method's per-image gains, and the images on which methods differ most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from statistics import fmean, median, quantiles

import numpy as np

from petlir.benchmark.statistics import Scores
from petlir.benchmark.statistics.grouped import means, numbered
from petlir.reports.column_scores import ColumnScores
from petlir.reports.figures.axis import Axis, spanning
from petlir.reports.results import FROZEN, INPUT

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 190, 740, 12, 24
MOST = 8
"""The maximum length of the list of images on which methods differ most."""
TICK = 5
"""Half the height of an image's tick, in SVG units."""


@dataclass(frozen=True)
class Spread:
    """One method: the quartiles and the mean of its gains, as positions in SVG units, and a tick for each image."""

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
    """The gain of every method over `base` on each image of one column, in dB, averaged over seeds.

    Attributes:
        name: the test set and the protocol of the column.
        base: `frozen`, or the label of the degraded image if the frozen network was not run.
        rows: the methods, sorted by decreasing median gain; this order is not a ranking.
    """

    name: str
    base: str
    x: Axis
    height: int
    images: int
    rows: tuple[Spread, ...]


@dataclass(frozen=True)
class Contested:
    """An image on which trained methods differ, with the methods that have the lowest and the highest PSNR on it."""

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


def per_image(rows: ColumnScores) -> tuple[list[str], list[str], Scores]:
    """Return the images, the labels, and the images×labels PSNR in dB, averaged over seeds; an infinite PSNR is NaN."""
    (image, images), (label, labels) = numbered(rows.image), numbered(rows.label)
    table = means(rows.psnr, (image, label), (len(images), len(labels)))
    return [*map(str, images)], [*map(str, labels)], np.where(np.isinf(table), np.nan, table)


def distribution(name: str, rows: ColumnScores, colours: Mapping[str, str]) -> Distribution | None:
    """Return the gains of the methods in one column; None if no method has a finite gain.

    Args:
        name: the name of the column.
        rows: the scores of the column.
        colours: the CSS classes of each trained method's label.
    """
    images, labels, table = per_image(rows)
    base = FROZEN if FROZEN in labels else INPUT
    image, _ = numbered(rows.image)
    given = means(rows.input_psnr, (image,), (len(images),))
    reference = table[:, labels.index(FROZEN)] if base == FROZEN else given
    every = {label: table[:, place] - reference for place, label in enumerate(labels) if label != FROZEN}
    gains = {label: some for label, own in every.items() if (some := own[~np.isnan(own)].tolist())}
    if not gains:
        return None
    order = sorted(gains, key=lambda label: -median(gains[label]))
    ends = [end(own) for end in (min, max) for own in gains.values()]
    x = spanning([*ends, 0.0], LEFT, RIGHT)
    spreads = tuple(_spread(label, gains[label], x, place, colours) for place, label in enumerate(order))
    return Distribution(name, base, x, TOP + ROW * len(spreads) + 34, len(images), spreads)


def _spread(label: str, gains: list[float], x: Axis, place: int, colours: Mapping[str, str]) -> Spread:
    y = TOP + ROW * (place + 0.5)
    low, middle, high = map(x, quantiles(gains, n=4, method="inclusive") if len(gains) > 1 else [gains[0]] * 3)
    ticks = "".join(f"M{x(gain)} {y - TICK:g}v{2 * TICK}" for gain in gains)
    return Spread(label, colours.get(label, ""), y, x(fmean(gains)), low, middle, high, ticks)


def contested(columns: Mapping[tuple[str, str], ColumnScores]) -> list[Contested]:
    """Return the images on which methods differ most, the largest spread first.

    Args:
        columns: the scores of trained methods, by protocol and test set.
    """
    found: list[Contested] = []
    for (protocol, set_), rows in sorted(columns.items(), key=itemgetter(0)):
        images, labels, table = per_image(rows)
        for image, own in zip(images, table, strict=True):
            if np.count_nonzero(~np.isnan(own)) > 1:
                low, high = int(np.nanargmin(own)), int(np.nanargmax(own))
                ends = (labels[low], float(own[low]), labels[high], float(own[high]))
                found.append(Contested(set_, image, protocol, *ends))
    return sorted(found, key=lambda one: -one.spread)[:MOST]
