"""The spread of re-runs: how much the scores of a cell differ if its training images are perturbed by 1e-6.

Rounding differs between processors and numbers of threads, and training amplifies the differences. The spread measured
here is the tolerance within which a retrained cell agrees with its record.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from petlir.benchmark.cells import run, train
from petlir.benchmark.cells.adapted_model import prepare
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.publishing import tolerance
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.scoring import evaluate
from petlir.benchmark.scoring.fields_of_view import scored_as
from petlir.benchmark.scoring.registry import LEADING, Score
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_bytes

PERTURBATION = 1e-6
"""The standard deviation of the noise that is added to degraded training crops in [0, 1]."""
COLUMNS = (*tolerance.COLUMNS, "runs", "cells")
Means = dict[str, float]
"""The mean PSNR in dB by image set and protocol."""


def spread(runs: Sequence[Sequence[float]]) -> float:
    """Return the difference in dB that two runs of one cell do not exceed in 95 % of cases.

    The scores of a cell's runs are assumed to be normally distributed with the same variance for all cells. The
    returned difference is t · s · √2, where s is the pooled standard deviation and t is the 97.5 % quantile of
    Student's t distribution with the pooled degrees of freedom.

    Args:
        runs: the scores of each cell's runs, at least two per cell.
    """
    from scipy.stats import t

    freedom = sum(len(scores) - 1 for scores in runs)
    pooled = math.sqrt(sum((len(scores) - 1) * stdev(scores) ** 2 for scores in runs) / freedom)
    return float(t.ppf(0.975, freedom) * pooled * math.sqrt(2))


def rerun(record: Done, context: Context, device: str, seed: int) -> Means:
    """Train a cell with perturbed images, and return its mean scores.

    Args:
        record: the record of a cell that requires no other cells.
        context: plugins, images and weights.
        device: the device to train on.
        seed: seed of the perturbation.
    """
    cell = record.cell.request()
    run.choose_kernels(context)
    with TemporaryDirectory(prefix="petlir-spread-") as name:
        folder = Path(name)
        model = prepare(Job("cell", cell, context, Store(folder), (), record.key_components), device)
        with _perturbed(model.network, seed_of("perturbation", record.key, seed)):
            train.fit(model, context)
        names = scored_as(model.task.protocols, model.views)
        pairs = context.tests(cell.task, cell.track)
        rows = evaluate.evaluate(model.network, model.heads, pairs, names, folder / "cell", folder / "shared").rows
    return _means(row for row in rows if row.metric == LEADING)


def measure(records: Iterable[Done], context: Context, device: str, again: int) -> Iterator[dict[str, object]]:
    """Yield the tolerance of each method on each task: the largest spread over image sets and protocols.

    Args:
        records: trained cells, e.g. one seed of each method on each task.
        context: plugins, images and weights.
        device: the device to train on.
        again: number of perturbed runs per cell.
    """
    groups: dict[tuple[str, str], list[Done]] = defaultdict(list)
    for record in records:
        groups[record.cell.label, record.cell.task].append(record)
    for (label, task), cells in sorted(groups.items()):
        runs = [_runs(record, context, device, again) for record in cells]
        largest = max(spread([[means[name] for means in each] for each in runs]) for name in runs[0][0])
        yield dict(zip(COLUMNS, (label, task, round(largest, 4), again + 1, len(cells)), strict=True))


def representative(records: Iterable[Record]) -> list[Done]:
    """Return the trained cell with the lowest seed for each backbone, method and task.

    Cells that require other cells are left out.
    """
    found: dict[tuple[str, str, str], Done] = {}
    trained = (record for record in records if isinstance(record, Done) and record.cell.steps)
    for record in sorted(trained, key=lambda record: record.cell.seed):
        if "needs" not in record.key_components:
            found.setdefault((record.cell.backbone, record.cell.label, record.cell.task), record)
    return list(found.values())


def left(records: Iterable[Done], path: Path) -> list[Done]:
    """Return the records of methods and tasks that are not in the table of tolerances yet."""
    measured = {(row["method"], row["task"]) for row in _rows(path)}
    return [record for record in records if (record.cell.label, record.cell.task) not in measured]


def _rows(path: Path) -> list[dict[str, object]]:
    """Return the rows of a table of tolerances, or an empty list if the file does not exist.

    Raises:
        PetlirError: the table is damaged.
    """
    if not tolerance.read(path):
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def write(rows: Iterable[dict[str, object]], path: Path) -> int:
    """Add rows to a table of tolerances in CSV, each as soon as it is measured; return the number of rows added."""
    before = _rows(path)
    found = list(before)
    for row in rows:
        found.append(row)
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(found)
        write_bytes(path, text.getvalue().encode())
    return len(found) - len(before)


def _runs(record: Done, context: Context, device: str, again: int) -> list[Means]:
    first = _means(record.rows())
    others = [rerun(record, context, device, seed) for seed in range(again)]
    return [{name: first[name] for name in others[0]}, *others]


def _means(rows: Iterable[Score]) -> Means:
    """Return the mean PSNR by set and protocol; identical images count as 100 dB."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values[f"{row.set} {row.protocol}"].append(min(row.value, 100.0))
    return {name: fmean(found) for name, found in values.items()}


@contextmanager
def _perturbed(network: nn.Module, seed: int) -> Iterator[None]:
    """Add noise to the network's input images in training, i.e. while gradients are enabled."""
    generator = torch.Generator().manual_seed(seed)

    def shake(module: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...] | None:
        images, *rest = inputs
        if not torch.is_grad_enabled() or not isinstance(images, Tensor):
            return None
        noise = torch.randn(images.shape, generator=generator).to(images)
        return images + PERTURBATION * noise, *rest

    handle = network.register_forward_pre_hook(shake)
    try:
        yield
    finally:
        handle.remove()
