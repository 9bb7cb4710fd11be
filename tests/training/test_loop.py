"""Test the training loop: the paper's schedule, exact continuation, and losses that are NaN."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from petlir.benchmark.contract.toy_model import ToyTrial, tiny
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.images.patches import PatchSampler
from petlir.benchmark.layers.dropout import Dropout
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import Adapted
from petlir.benchmark.training.loop import Budget, Diverged, Fit, fit, loss_of
from tests.helpers.engine import PLUGIN, draw

METHODS = find([PLUGIN]).methods
TRAINED = sorted(name for name, m in find().methods.items() if m.trains)
BUDGET = Budget(steps=8, rate=1e-2, seed=5, checkpoint_seconds=0)
SIDE = 12


def start(name: str) -> Adapted:
    """Return a new small network with a method, as after a restart."""
    return ToyTrial(METHODS[name](), tiny).adapted()


class Batches(PatchSampler):
    """Crops of small seeded images; the sampler interrupts training before step `until`."""

    def __init__(self, until: float = math.inf) -> None:
        images = [draw([7, number], 24, 24) for number in range(3)]
        pairs = [(image, image) for image in images]
        super().__init__(pairs, scale=1, patch=SIDE, batch_size=2, perturb=GaussianNoise(30), seed=3)
        self.until = until
        self.steps: list[int] = []

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        if step >= self.until:
            raise KeyboardInterrupt
        self.steps.append(step)
        return super().batch(step)


def validation(adapted: Adapted) -> Callable[[], float]:
    """Return a function that computes the mean PSNR of a fixed noisy batch in evaluation mode."""
    degraded, clean = Batches().batch(1000)

    @torch.no_grad()
    def validate() -> float:
        assert not any(module.training for module in adapted.backbone.modules())
        error = (adapted.backbone(degraded, adapted.head) - clean).square().mean().item()
        return -10 * math.log10(error)

    return validate


def train(adapted: Adapted, budget: Budget = BUDGET, checkpoint: Path | None = None, until: float = math.inf) -> Fit:
    return fit(adapted, Batches(until), validation(adapted), budget, checkpoint=checkpoint)


def test_asked_to_stop_it_ends_its_step_keeps_its_state_and_leaves(tmp_path):
    class Stopping(Batches):
        def batch(self, step: int) -> tuple[Tensor, Tensor]:
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().batch(step)

    seldom, path = replace(BUDGET, checkpoint_seconds=1e9), tmp_path / "checkpoint.pt"
    handler = signal.getsignal(signal.SIGTERM)
    stopped, adapted = Stopping(), start("adaptir")
    with pytest.raises(SystemExit) as left:
        fit(adapted, stopped, validation(adapted), seldom, checkpoint=path)
    assert left.value.code == 143 and stopped.steps == [0, 1, 2, 3]
    assert signal.getsignal(signal.SIGTERM) == handler
    batches, continued, whole = Batches(), start("adaptir"), start("adaptir")
    fit(continued, batches, validation(continued), seldom, checkpoint=path)
    assert batches.steps == [4, 5, 6, 7]
    train(whole)
    assert all(torch.equal(tensor, whole.state()[name]) for name, tensor in continued.state().items())


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("stop", [4, *(pytest.param(stop, marks=pytest.mark.long) for stop in (1, 7))])
def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path, name, stop):
    whole = start(name)
    curve = train(whole).curve
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(start(name), checkpoint=checkpoint, until=stop)
    torch.manual_seed(stop)  # another process has another random state
    again, batches = start(name), Batches()
    done = fit(again, batches, validation(again), BUDGET, checkpoint=checkpoint)
    assert batches.steps == list(range(stop, 8))
    assert done.curve == curve
    assert done.step == 8
    assert len(done.timer.seconds) == 8
    expected = whole.state()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in again.state().items())


def test_dropout_and_batch_statistics_are_at_work():
    """If dropout and batch statistics were inactive, the test of exact continuation would prove less."""
    state = {name: start(name) for name in ("adaptformer", "adaptir")}
    before = {key: tensor.clone() for key, tensor in state["adaptir"].state().items()}
    for adapted in state.values():
        train(adapted)
    after = state["adaptir"].state()
    assert any((after[key] != tensor).any() for key, tensor in before.items() if "running" in key)
    dropouts = [m for m in state["adaptformer"].backbone.modules() if isinstance(m, Dropout)]
    state["adaptformer"].train()
    assert any(module.training for module in dropouts)


def test_other_seeds_drop_other_channels():
    first, second = start("adaptformer"), start("adaptformer")
    train(first)
    train(second, replace(BUDGET, seed=6))
    assert any((tensor != second.state()[key]).any() for key, tensor in first.state().items())


def test_a_killed_fit_leaves_no_half_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(start("lora"), checkpoint=tmp_path / "checkpoint.pt", until=2)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_optimiser_is_the_papers(shared, tmp_path):
    golden = json.loads((shared / "goldens" / "optim.json").read_text())
    for epoch, rate in golden["lr_at_epoch"].items():
        assert Budget(500, 1e-4).rate_at(int(epoch)) == pytest.approx(rate, rel=1e-12)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(start("lora"), checkpoint=checkpoint, until=1)
    (group,) = torch.load(checkpoint, weights_only=True)["optimizer"]["param_groups"]
    assert group["weight_decay"] == golden["weight_decay"]
    assert group["betas"] == tuple(golden["betas"])
    assert group["eps"] == golden["eps"]


@given(st.integers(1, 500).map(lambda twentieths: 20 * twentieths), st.floats(1e-6, 1))
def test_the_rate_halves_at_50_80_90_and_95_percent(steps, rate):
    budget = Budget(steps, rate)
    halved = [step for step in range(1, steps) if budget.rate_at(step) < budget.rate_at(step - 1)]
    assert halved == [steps * percent // 100 for percent in (50, 80, 90, 95)]
    assert budget.rate_at(0) == rate
    assert budget.rate_at(steps - 1) == rate / 16


@given(st.integers(1, 10_000))
def test_a_curve_has_at_most_twenty_points_and_ends_with_the_budget(steps):
    points = Budget(steps, 1e-3).curve_steps
    assert points[0] >= 1 and points[-1] == steps
    assert len(points) == min(steps, 20)
    assert points == sorted(set(points))


def test_the_curve_holds_rate_loss_and_validation():
    curve = train(start("full-ft")).curve
    assert [point["step"] for point in curve] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [point["learning_rate"] for point in curve] == [*4 * [1e-2], *3 * [5e-3], 2.5e-3]
    losses = [point["loss"] for point in curve]
    assert all(loss is not None and loss > 0 for loss in losses)
    scores = [point["validation_psnr"] for point in curve]
    assert scores[:-1] == 7 * [None] and scores[-1] is not None


def test_a_curves_loss_is_the_mean_since_its_last_point():
    adapted, batches = start("full-ft"), Batches()
    curve = train(start("full-ft"), Budget(40, 0.0)).curve
    losses = [loss_of(adapted, batches.batch(step)).item() for step in range(40)]
    means = [(one + other) / 2 for one, other in zip(losses[::2], losses[1::2], strict=True)]
    assert [point["loss"] for point in curve] == pytest.approx(means, rel=1e-5)


def test_the_loss_is_the_mean_absolute_difference():
    adapted = start("lora")
    degraded, clean = Batches().batch(0)
    expected = (adapted.backbone(degraded, adapted.head) - clean).abs().mean()
    assert loss_of(adapted, (degraded, clean)).item() == pytest.approx(expected.item(), rel=1e-6)


def test_training_learns():
    adapted = start("full-ft")
    adapted.eval()
    before = validation(adapted)()
    last = train(adapted, Budget(60, 3e-3)).curve[-1]["validation_psnr"]
    assert last is not None
    assert last > before + 1


def test_a_loss_that_is_no_number_ends_training():
    with pytest.raises(Diverged, match=r"^the loss is nan at step 0 of 8 \(learning rate 0\.01\)$"):
        train(start("diverging"))


def test_a_validation_that_is_no_number_ends_training():
    with pytest.raises(Diverged, match=r"^the validation PSNR is nan at step 8 of 8$"):
        fit(start("lora"), Batches(), lambda: math.nan, BUDGET)
