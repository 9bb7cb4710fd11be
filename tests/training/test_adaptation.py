"""Test what the engine does for every method: freeze, count, store, load, train, merge."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from petlir.benchmark.backbone import Backbone, OnMap
from petlir.benchmark.contract.toy_model import SMALL, tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.training.adaptation import Adapted, adapt, folded, merge
from petlir.methods.adapter import Adapter
from petlir.methods.adaptir import AdaptIR
from petlir.methods.frozen import Frozen
from petlir.methods.full_ft import FullFineTuning
from petlir.methods.lora import LoRA
from petlir.methods.ssf import SSF
from tests.helpers.networks import ConvNet

HEAD = "denoise_30"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def step(adapted: Adapted) -> None:
    """Take one optimiser step."""
    images = torch.rand(2, 3, 12, 12)
    optimizer = torch.optim.AdamW(adapted.trainable().values(), lr=0.1)
    adapted.train()
    torch.autograd.backward(adapted.backbone(images, adapted.head).abs().mean())
    optimizer.step()
    adapted.eval()


def test_only_what_was_inserted_is_trainable():
    network = tiny()
    own = {id(parameter) for parameter in network.parameters()}
    adapted = adapt(network, LoRA(rank=2), HEAD, seed=0)
    assert adapted.trainable()
    assert own.isdisjoint(id(parameter) for parameter in adapted.trainable().values())


def test_heads_that_are_not_in_use_stay_frozen():
    adapted = adapt(tiny(), FullFineTuning(), HEAD, seed=0)
    names = adapted.trainable().keys()
    assert any(name.startswith("head.1.") for name in names)
    assert not any(name.startswith(("head.0.", "tail.0.", "sub_mean", "add_mean")) for name in names)


def test_what_is_stored_is_what_was_trained_and_running_statistics():
    adapted = adapt(tiny(), AdaptIR(hidden=4), HEAD, seed=0)
    extra = set(adapted.state()) - set(adapted.trainable())
    assert {name.rpartition(".")[2] for name in extra} == {"running_mean", "running_var", "num_batches_tracked"}
    assert not any("base" in name for name in adapt(tiny(), SSF(), HEAD, seed=0).state())


def test_stored_bytes_are_those_of_the_parameters():
    adapted = adapt(tiny(), Adapter(rank=3), HEAD, seed=0)
    stored = sum(tensor.numel() for tensor in adapted.state().values())
    assert stored == sum(parameter.numel() for parameter in adapted.trainable().values())


@pytest.mark.parametrize("method", [LoRA(), AdaptIR(hidden=4), SSF(), FullFineTuning()])
def test_loading_makes_the_trained_network_again(method):
    trained = adapt(tiny(), method, HEAD, seed=0)
    step(trained)
    fresh = adapt(tiny(), method, HEAD, seed=5)
    fresh.load(trained.state())
    images = torch.rand(1, 3, 12, 12)
    assert torch.equal(fresh.backbone(images, HEAD), trained.backbone(images, HEAD))


def test_a_state_is_a_copy_that_training_does_not_move():
    adapted = adapt(tiny(), LoRA(), HEAD, seed=0)
    state = {name: tensor.clone() for name, tensor in adapted.state().items()}
    adapted.load(state)
    step(adapted)
    assert any(not torch.equal(tensor, state[name]) for name, tensor in adapted.state().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, name: state.pop(name), "missing"),
        (lambda state, name: state.update(other=torch.zeros(1)), "unexpected other"),
        (lambda state, name: state.update({name: torch.zeros(1)}), r"is \(1,\), expected"),
    ],
)
def test_an_adapter_that_does_not_fit_is_one_line(change, message):
    adapted = adapt(tiny(), LoRA(), HEAD, seed=0)
    state = dict(adapted.state())
    change(state, next(iter(state)))
    with pytest.raises(PetlirError, match=message) as caught:
        adapted.load(state)
    assert "\n" not in str(caught.value)


def test_frozen_modules_stay_in_evaluation_mode():
    """Frozen modules use no DropPath and do not update running statistics."""
    network = ConvNet()
    network.add_module("norm", nn.BatchNorm2d(network.width))
    frozen = list(network.modules())
    adapted = adapt(network, NormBeside(), "restore", seed=0)
    adapted.train()
    assert not any(module.training for module in frozen)
    assert all(module.training for module in adapted.inserted)
    adapted.eval()
    assert not any(module.training for module in adapted.backbone.modules())


def test_a_backbones_batch_norms_keep_their_statistics_where_they_are_trained():
    network = SMALL["dat"]()
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    adapted = adapt(network, FullFineTuning(), "sr_x2", seed=0)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = norms[0].weight.detach().clone()
    adapted.train()
    torch.autograd.backward(network(torch.rand(2, 3, 8, 8), "sr_x2").abs().mean())
    torch.optim.AdamW(adapted.trainable().values(), lr=0.1).step()
    assert not torch.equal(norms[0].weight, before) and not adapted.batch_statistics
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in network.named_buffers())


@dataclass(frozen=True)
class NormBeside(Method):
    """A method that adds a batch norm parallel to an mlp."""

    name = "norm-beside"
    idea = "For tests."

    def adapt(self, backbone: Backbone) -> None:
        for block in list(backbone.blocks())[:1]:
            block.mlp.parallel(OnMap(nn.Sequential(nn.BatchNorm2d(block.width), nn.Dropout(0.5)), block.layout))


def test_an_adapted_network_starts_in_evaluation_mode():
    adapted = adapt(tiny(), AdaptIR(hidden=4), HEAD, seed=0)
    assert not any(module.training for module in adapted.backbone.modules())


def test_initial_weights_depend_on_the_seed_and_on_nothing_else():
    first = adapt(tiny(), LoRA(), HEAD, seed=1).state()
    torch.randn(100)
    again, other = adapt(tiny(), LoRA(), HEAD, seed=1).state(), adapt(tiny(), LoRA(), HEAD, seed=2).state()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_adapting_leaves_the_global_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    adapt(tiny(), LoRA(), HEAD, seed=7)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("method", "whole"),
    [(LoRA(), True), (SSF(), True), (Adapter(), False), (AdaptIR(), False), (Frozen(), False)],
)
def test_merging_says_whether_anything_was_left(method, whole):
    adapted = adapt(tiny(), method, HEAD, seed=0)
    if method.trains:
        step(adapted)
    images = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        before = adapted.backbone(images, HEAD)
        assert merge(adapted.backbone) is whole
        after = adapted.backbone(images, HEAD)
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


@pytest.mark.parametrize(
    ("method", "whole"), [(LoRA(), True), (SSF(), True), (FullFineTuning(), True), (Adapter(), False)]
)
def test_a_network_folded_for_a_while_goes_on_training_to_the_same_bits(method, whole):
    """The network is compared with one that was never merged; merging shows in its modules and is undone afterwards."""
    watched, plain = (adapt(tiny(), method, HEAD, seed=0) for _ in range(2))
    for adapted in (watched, plain):
        torch.manual_seed(1)
        step(adapted)
    modules = dict(watched.backbone.named_modules())
    with torch.no_grad(), folded(watched.backbone) as found:
        assert found is whole
        assert (set(watched.backbone.modules()) != set(modules.values())) is (whole and bool(watched.inserted))
        outputs = [adapted.backbone(torch.ones(1, 3, 12, 12), HEAD) for adapted in (watched, plain)]
    assert torch.allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-5)
    assert dict(watched.backbone.named_modules()) == modules
    assert list(watched.trainable()) == list(plain.trainable())
    for adapted in (watched, plain):
        torch.manual_seed(1)
        step(adapted)
    assert all(torch.equal(value, plain.state()[name]) for name, value in watched.state().items())


def test_a_fault_in_the_block_unfolds_too():
    adapted = adapt(tiny(), LoRA(), HEAD, seed=0)
    modules = dict(adapted.backbone.named_modules())
    with pytest.raises(ZeroDivisionError), folded(adapted.backbone):
        raise ZeroDivisionError
    assert dict(adapted.backbone.named_modules()) == modules
