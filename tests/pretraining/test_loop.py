"""Test the pre-training loop: its learning rate, its equality with plain AdamW, and its bit-identical continuation."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.pretraining.loop import Recipe, train
from tests.helpers.networks import ConvNet

RECIPE = Recipe(steps=4, warm_up=1)


def batch(step: int):
    generator = torch.Generator().manual_seed(step)
    clean = torch.rand(2, 3, 16, 16, generator=generator)
    return "restore", clean + 0.1 * torch.randn(clean.shape, generator=generator), clean


def network() -> ConvNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ConvNet(4)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_rate_warms_up_then_falls_as_a_cosine():
    recipe = Recipe(steps=1000, rate=1.0, warm_up=100)
    assert recipe.rate_at(0) == pytest.approx(0.01)
    assert recipe.rate_at(100) == pytest.approx(1.0)
    assert recipe.rate_at(550) == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi / 2)) / 2)
    assert recipe.rate_at(1000) == pytest.approx(0.01)


def test_it_is_plain_adamw_with_clipped_gradients(tmp_path):
    """The shipped weights of IPT were trained with this arithmetic."""
    plain, trained = network(), network()
    optimizer = torch.optim.AdamW(plain.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)
    for step in range(4):
        _, degraded, clean = batch(step)
        optimizer.param_groups[0]["lr"] = RECIPE.rate_at(step)
        optimizer.zero_grad()
        functional.l1_loss(plain(degraded), clean).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
    assert [step for step, _ in train(trained, batch, RECIPE, tmp_path / "c")] == [0, 1, 2, 3]
    assert same(plain, trained)


def test_a_stopped_pre_training_continues_to_the_same_bits(tmp_path):
    whole, stopped, resumed = network(), network(), network()
    losses = [loss for _, loss in train(whole, batch, RECIPE, tmp_path / "whole")]
    steps = train(stopped, batch, RECIPE, tmp_path / "parts", keep_every=2)
    assert [next(steps)[0] for _ in range(3)] == [0, 1, 2]
    del steps
    assert list(train(resumed, batch, RECIPE, tmp_path / "parts")) == [(2, losses[2]), (3, losses[3])]
    assert same(whole, resumed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]


@pytest.mark.parametrize(("option", "value"), [("steps", 5), ("seed", 1), ("source", "DIV2K"), ("name", "prod")])
def test_the_checkpoint_of_another_run_is_refused(tmp_path, option, value):
    list(train(network(), batch, RECIPE, tmp_path / "c"))
    other, before = network(), network()
    recipe = Recipe(**{"steps": 4, "warm_up": 1, option: value})
    with pytest.raises(PetlirError, match=rf"c belongs to a run with {option} .*, expected {value}; delete it"):
        next(train(other, batch, recipe, tmp_path / "c"))
    assert same(other, before)


def test_the_checkpoint_of_another_network_is_refused(tmp_path):
    list(train(network(), batch, RECIPE, tmp_path / "c"))
    with pytest.raises(PetlirError, match="c holds a network other than ipt-tiny"):
        next(train(tiny(), batch, RECIPE, tmp_path / "c"))


@pytest.mark.parametrize("harm", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint_is_named(tmp_path, harm):
    (tmp_path / "c").write_bytes(harm)
    with pytest.raises(PetlirError, match="c is not a checkpoint of pre-training"):
        next(train(network(), batch, RECIPE, tmp_path / "c"))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    def broken(step):
        head, degraded, clean = batch(step)
        return head, degraded, clean * (math.nan if step else 1)

    with pytest.raises(PetlirError, match="the loss is nan at step 2; expected a finite number"):
        list(train(network(), broken, RECIPE, tmp_path / "c"))
