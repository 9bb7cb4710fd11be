"""Means of the metrics beyond PSNR and SSIM, for each method and image set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from petlir.benchmark.records.schema import Record


@dataclass(frozen=True)
class MetricMean:
    """The mean of a metric over images and seeds, for one method on one image set.

    Attributes:
        mean: the mean of the metric; None if the metric was unavailable.
        better: `higher` or `lower`: which values of the metric are better.
        unavailable: the reason why the mean is missing; empty if there is a mean.
    """

    label: str
    task: str
    set: str
    metric: str
    mean: float | None
    better: str
    unavailable: str


def extra_metrics(records: Iterable[Record]) -> list[MetricMean]:
    """Return the means of all extra metrics, sorted by task, test set, metric and method."""
    rows = pd.DataFrame(_rows(records))
    if rows.empty:
        return []
    keys = ["task", "set", "metric", "label", "better", "unavailable"]
    found = rows.groupby([*keys, "image"], dropna=False).value.mean().groupby(keys, dropna=False).mean()
    return [
        MetricMean(
            row["label"],
            row["task"],
            row["set"],
            row["metric"],
            _number(row["value"]),
            row["better"],
            row["unavailable"],
        )
        for row in found.reset_index().to_dict("records")
    ]


def _number(mean: float) -> float | None:
    return None if pd.isna(mean) else float(mean)


def _rows(records: Iterable[Record]) -> Iterator[dict[str, object]]:
    for record in records:
        cell = record.cell
        for metric in record.metrics:
            named = {
                "label": cell.label, "task": cell.task, "metric": metric.metric,
                "better": metric.better, "unavailable": metric.unavailable or "",
            }  # fmt: skip
            if metric.unavailable:
                yield {**named, "set": "", "image": "", "value": None}
            for one in record.measured(metric.metric):
                yield {**named, "set": one.set, "image": one.image, "value": one.value}
