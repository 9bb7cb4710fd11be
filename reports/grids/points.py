"""The records of a named grid as points: a mean for each label, task and image set, with its seeds."""

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
"""Curves over what is trained; the other axes are options of a task or of a method."""


class FigureKey(NamedTuple):
    """What one figure holds: cells of one budget, regime and device on one task and image set, scored alike."""

    track: str
    device: str
    regime: str
    budget: str
    task: str
    set: str
    protocol: str


@dataclass(frozen=True)
class GridPoint:
    """A label on a task and set.

    Attributes:
        series: the curve that it belongs to: its label without what the curve runs over.
        x: where it stands along the curve; None where it has no such place.
        seeds: the mean PSNR over images of each seed, in dB.
        over_frozen: the mean less that of the frozen network; None where there is none.
        trainable: parameters.
        converged: whether all its cells have, by the doubling test; None where nothing is trained.
        record: one of its cells.
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
        """Over seeds."""
        return fmean(self.seeds)

    @property
    def trained(self) -> bool:
        """Whether anything of it was."""
        return self.converged is not None

    @property
    def ranked(self) -> bool:
        """Whether its order among other points may be stated: converged, and not a reference."""
        return bool(self.converged) and kind_of(self.record) != "reference"


def points(records: Sequence[Done], along: str) -> Iterator[tuple[FigureKey, list[GridPoint], pd.DataFrame]]:
    """The points of each figure under its headline protocol, what trains nothing first, and the scores behind them."""
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
    """The value of an option in a label, `16` of `low_light[images=16]`; None where it is not there."""
    match = re.search(rf"[\[;] ?{name}=([^;\]]*)", label)
    return match[1] if match else None


def without(label: str, name: str) -> str:
    """A label without one of its options."""
    stem, _, options = label.removesuffix("]").partition("[")
    kept = [part.strip() for part in options.split(";") if part.strip() and part.partition("=")[0].strip() != name]
    return f"{stem}[{'; '.join(kept)}]" if kept else stem
