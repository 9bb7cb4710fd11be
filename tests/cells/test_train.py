"""Test training when memory runs out: it restarts with split batches, records this, and resumes like any other cell."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from petlir.benchmark.cells import learning_rate
from petlir.benchmark.cells.job import Job
from petlir.benchmark.contract.toy_model import ToyTrial, tiny
from petlir.benchmark.plugins import find
from petlir.benchmark.records.schema import Accumulation
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.store import Store
from petlir.benchmark.training import loop
from petlir.benchmark.training.loop import Batch, loss_of, split
from petlir.benchmark.weights.loading import digest
from tests.helpers.engine import interrupt, restore_batches, results
from tests.helpers.samples import finished_in


@pytest.fixture
def memory(lab, monkeypatch):
    """Return a function that sets how many crops fit into memory and returns the list of batch sizes tried."""

    def holds(most: int) -> list[int]:
        tried, real = [], loop.loss_of

        def loss(adapted, batch: Batch, *more: str) -> Tensor:
            tried.append(len(batch[0]))
            if len(batch[0]) > most:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(adapted, batch, *more)

        monkeypatch.setattr(loop, "loss_of", loss)
        return tried

    restore_batches(monkeypatch)
    return holds


@pytest.mark.parametrize("parts", [2, 3, 5, 8])
def test_gradients_of_parts_add_up_to_that_of_the_whole(parts):
    batch = torch.rand(5, 3, 12, 12), torch.rand(5, 3, 12, 12)
    sums = []
    for pieces in ([(1.0, batch)], split(batch, parts)):
        adapted = ToyTrial(find().methods["lora"](), tiny).adapted()
        adapted.train()
        for share, piece in pieces:
            (share * loss_of(adapted, piece)).backward()
        sums.append([parameter.grad for parameter in adapted.trainable().values()])
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-4, atol=1e-7)
    assert sum(share for share, _ in split(batch, parts)) == pytest.approx(1)


def test_a_batch_that_does_not_fit_is_worked_on_in_parts(lab, tmp_path, memory):
    lab.run(tmp_path / "whole", methods="lora,adaptir")
    tried = memory(1)
    assert lab.run(tmp_path / "parts", methods="lora,adaptir").states == {"done": 2}
    assert tried == 2 * [4, *12 * [1]], "what does not fit, then a count and two steps in four parts"
    whole, parts = ({r.cell.method: r for r in finished_in(tmp_path / n)} for n in ("whole", "parts"))
    assert {name: record.cell.accumulation for name, record in parts.items()} == {
        "lora": Accumulation(parts=4, batch_statistics=False),
        "adaptir": Accumulation(parts=4, batch_statistics=True),
    }
    for before, after in zip(whole["lora"].curve, parts["lora"].curve, strict=True):
        assert after.loss == pytest.approx(before.loss, rel=1e-4)
    last = [record["lora"].curve[-1].validation_psnr for record in (whole, parts)]
    assert last[1] == pytest.approx(last[0], abs=1e-3)
    assert whole["lora"].key == parts["lora"].key
    assert whole["lora"].costs.flops_per_step == parts["lora"].costs.flops_per_step
    kept = [record["lora"].costs.saved_for_backward_bytes for record in (whole, parts)]
    assert kept[0] / 4 <= kept[1] < kept[0] / 3


def test_a_method_with_batch_statistics_then_stands_in_no_column_with_others(lab, tmp_path, memory):
    memory(1)
    lab.run(tmp_path, methods="lora,adaptir")
    budgets = {record.cell.method: record.cell.budget for record in finished_in(tmp_path)}
    assert budgets["lora"] == "2 steps × 4 × 48²"
    assert budgets["adaptir"] == "2 steps × 4 × 48², batch statistics in 4 parts"


def test_what_does_not_fit_in_parts_has_run_out_of_memory(lab, tmp_path, memory):
    memory(0)
    outcome = lab.run(tmp_path, methods="lora,frozen")
    assert outcome.states == {"out-of-memory": 1, "done": 1}
    assert outcome.failed[0][1] == "CUDA out of memory. Tried to allocate 2.00 GiB"


def test_a_trial_works_in_parts_too(lab, tmp_path, memory):
    tried = memory(1)
    (cell,) = Planner(lab.request()).cells
    trial = Job("trial", cell, lab.context(), Store(tmp_path), weights=digest("ipt-nano"))
    assert learning_rate.trial(trial, "cpu") == {"state": "done"}
    assert tried == [4, *8 * [1]], "what does not fit, then two steps in four parts"


def test_a_cell_in_parts_goes_on_in_parts(lab, tmp_path, memory, monkeypatch):
    memory(1)
    asked = lab.request(methods="adaptir", steps=4)
    asked = replace(asked, context=replace(asked.context, checkpoint_seconds=0))
    seen = interrupt(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        runner.run(asked, tmp_path / "stopped", device="cpu", workers=1)
    seen.clear()
    runner.run(asked, tmp_path / "stopped", device="cpu", workers=1)
    assert seen == [0, 2, 3], "no whole batch is tried again"
    lab.run(tmp_path / "through", methods="adaptir", steps=4)
    assert results(tmp_path / "stopped") == results(tmp_path / "through")
