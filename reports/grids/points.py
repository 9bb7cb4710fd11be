"""Points of a named grid: the mean PSNR of each seed for each label, task and image set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pandas as pd

from petlir.benchmark.records.groups import ANY
from petlir.benchmark.records.schema import Done
from petlir.benchmark.task import IMAGES
from petlir.reports.frame import differing, score_frame
from petlir.reports.results import FROZEN
from petlir.reports.tables import kind_of

PARAMETERS = "parameters"
"""The name of the axis of trainable parameters; other axes are named after options of a task or a method."""


class FigureKey(NamedTuple):
    """The conditions that all points of a figure share."""

    track: str
    device: str
    regime: str
    budget: str
    task: str
    set: str
    protocol: str


@dataclass(frozen=True)
class GridPoint:
    """The results of one label on one task and image set.

    Attributes:
        series: the name of the point's curve: the label without the option that the axis shows, or the method if the
            axis is `parameters`.
        x: position on the horizontal axis; None if the point has no position on the horizontal axis.
        seeds: for each seed, the mean PSNR in dB over images.
        over_frozen: mean PSNR minus the mean PSNR of the frozen network, in dB; None if the frozen network was not
            run.
        trainable: number of trainable parameters.
        converged: whether all cells of the point converged in the doubling test; None for an untrained method.
        record: one of the records of the point.
    """

    backbone: str
    label: str
    series: str
    x: float | None
    seeds: tuple[float, ...]
    over_frozen: float | None
    trainable: int
    converged: bool | None
    smoke: bool
    record: Done

    @property
    def mean(self) -> float:
        """The mean PSNR over seeds, in dB."""
        return fmean(self.seeds)

    @property
    def trained(self) -> bool:
        """True if the method is trained."""
        return self.converged is not None

    @property
    def ranked(self) -> bool:
        """True if the point may be ranked: its method converged and is not a reference."""
        return bool(self.converged) and kind_of(self.record) != "reference"


def points(records: Sequence[Done], along: str) -> Iterator[tuple[FigureKey, list[GridPoint], pd.DataFrame]]:
    """Yield the key of each figure, its points under the headline protocol, and the scores of the points.

    In each figure, points of untrained methods come first.
    """
    frame = score_frame(records)
    frame = frame[frame.headline]
    frame["base"] = [without(task, IMAGES) if along == IMAGES else task for task in frame.task]
    by_key = {record.key: record for record in records}
    trained, others = frame[frame.regime != ANY], frame[frame.regime == ANY]
    where = ["track", "device", "regime", "budget", "base", "set", "protocol"]
    for place, rows in trained.groupby(where):
        beside = others[(others[["track", "device", *where[4:]]] == [*place[:2], *place[4:]]).all(axis=1)]
        both = differing(pd.concat([beside, rows]))
        both = both[np.isfinite(both.psnr)]
        found = [_point(some, by_key, along) for _, some in both.groupby(["backbone", "label", "task"], sort=False)]
        yield FigureKey(*map(str, place)), _over_frozen(found), both


def _point(rows: pd.DataFrame, by_key: dict[str, Done], along: str) -> GridPoint:
    record = by_key[rows.key.iloc[0]]
    cell, trained = record.cell, rows.regime.iloc[0] != ANY
    return GridPoint(
        cell.backbone,
        cell.label,
        _series(record, along),
        _x(record, along),
        tuple(map(float, rows.groupby("seed").psnr.mean())),
        None,
        int(record.costs.trainable),
        bool(rows.converged.eq(True).all()) if trained else None,
        bool(rows.smoke.any()),
        record,
    )


def _over_frozen(found: list[GridPoint]) -> list[GridPoint]:
    before = {(one.backbone, one.record.cell.task): one.mean for one in found if one.label == FROZEN}
    starts = [before.get((one.backbone, one.record.cell.task)) for one in found]
    return [
        replace(one, over_frozen=None if start is None else one.mean - start)
        for one, start in zip(found, starts, strict=True)
    ]


def _series(record: Done, along: str) -> str:
    cell = record.cell
    return str(cell.method) if along == PARAMETERS else without(cell.label, along)


def _x(record: Done, along: str) -> float | None:
    cell = record.cell
    if along == PARAMETERS:
        return float(record.costs.trainable) or None
    found = option(cell.task, IMAGES) if along == IMAGES else cell.options.get(along)
    return None if found is None else float(str(found))


def option(label: str, name: str) -> str | None:
    """Return the value of an option in a label; None if the label does not set the option.

    In the label `low_light[images=16]`, the option `images` has the value `16`.
    """
    match = re.search(rf"[\[;] ?{name}=([^;\]]*)", label)
    return match[1] if match else None


def without(label: str, name: str) -> str:
    """Return the label without the option called `name`."""
    stem, _, options = label.removesuffix("]").partition("[")
    kept = [part.strip() for part in options.split(";") if part.strip() and part.partition("=")[0].strip() != name]
    return f"{stem}[{'; '.join(kept)}]" if kept else stem
