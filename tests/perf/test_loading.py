"""Measure how long training waits for its batches, in training runs like those of a grid."""

from __future__ import annotations

import pytest

from petlir.benchmark.cells import train
from petlir.benchmark.cells.adapted_model import prepare
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.store import Store
from tests.perf.conftest import Ratio


@pytest.mark.parametrize("task", ["denoise_50", "hybrid_lr4_noise30"])
@pytest.mark.parametrize("track", ["demo", "open"])
def test_training_hardly_waits_for_batches(benchmark, tell, shared, tmp_path, track, task):
    context = Context(data=str(shared / "datasets"))
    planner = Planner(Request("ipt-nano", "lora", task, track, steps=20, regime="paper", context=context))
    (cell,) = planner.cells
    job = Job("cell", cell, context, Store(tmp_path), weights=planner.weights(cell.backbone))
    model = prepare(job, "cpu")
    context.training(task, track, 0)
    fitted = benchmark.pedantic(lambda: train.fit(model, context), rounds=1)
    assert fitted.waiting_share > 0
    tell(Ratio(f"{task} on {track}: waiting for batches", "training", fitted.waiting_share, 0.05))
