"""Test costs against sums computed by hand on small networks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from petlir.benchmark.contract.toy_model import SMALL
from petlir.benchmark.costs import (
    Energy,
    Memory,
    Peak,
    Size,
    StepTimer,
    count,
    flops_of_step,
    memory,
    saved_for_backward_bytes,
    undisturbed,
)

BATCH, IN, HIDDEN, OUT = 5, 8, 16, 3
FLOAT = 4


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(IN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUT))


def held(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def loss_of(network: nn.Module, *size: int) -> Callable[[], Tensor]:
    features = torch.rand(*size)

    def loss() -> Tensor:
        total: Tensor = network(features).sum()
        return total

    return loss


def test_count_and_memory_by_hand(network):
    network[0].requires_grad_(False)
    trainable, frozen = HIDDEN * OUT + OUT, IN * HIDDEN + HIDDEN
    total = trainable + frozen
    assert count(network) == Size(trainable, total, FLOAT * trainable, FLOAT * total)
    assert memory(network, activations=7, peak=None) == Memory(4 * total, 4 * trainable, 8 * trainable, 7, None)


def test_half_precision_and_buffers_have_their_own_bytes():
    network = nn.Sequential(nn.Linear(4, 2, bias=False).half(), nn.BatchNorm1d(2, affine=False))
    assert count(network).total_bytes == 2 * 8
    assert memory(network, 0, None).weights == 2 * 8 + 4 * (2 + 2) + 8  # mean and variance; an int64 counter


def test_a_shared_parameter_counts_once(network):
    network.append(nn.Linear(OUT, IN))
    network.append(network[0])
    assert count(network).total == (IN + 1) * HIDDEN + (HIDDEN + 1) * OUT + (OUT + 1) * IN


def test_a_trained_network_saves_the_input_of_each_layer(network):
    # ReLU saves its output, which is the storage that the second layer saves as its input
    loss = loss_of(network, BATCH, IN)
    assert saved_for_backward_bytes(loss, held(network)) == FLOAT * BATCH * (IN + HIDDEN)


def test_both_are_counted_in_one_step(network):
    apart = (
        saved_for_backward_bytes(loss_of(network, BATCH, IN), held(network)),
        flops_of_step(loss_of(network, BATCH, IN)),
    )
    counted: list[int] = []
    saved = saved_for_backward_bytes(lambda: counted.append(flops_of_step(loss_of(network, BATCH, IN))), held(network))
    assert (saved, *counted) == apart


def test_nothing_is_saved_before_the_first_trained_layer(network):
    network[0].requires_grad_(False)
    assert saved_for_backward_bytes(loss_of(network, BATCH, IN), held(network)) == FLOAT * BATCH * HIDDEN


def test_a_frozen_linear_layer_after_a_trained_one_saves_no_input():
    network = nn.Sequential(nn.Linear(IN, HIDDEN), nn.Linear(HIDDEN, OUT).requires_grad_(False))
    loss = loss_of(network, BATCH, IN)
    assert saved_for_backward_bytes(loss, held(network)) == FLOAT * BATCH * IN
    # its weight is saved, which is in memory anyway
    weight = FLOAT * HIDDEN * OUT
    assert saved_for_backward_bytes(loss) == FLOAT * BATCH * IN + weight


def test_a_convolution_saves_its_input():
    network = nn.Conv2d(4, 6, 3, padding=1)
    assert saved_for_backward_bytes(loss_of(network, 2, 4, 7, 9), held(network)) == FLOAT * 2 * 4 * 7 * 9


def test_an_inference_saves_nothing(network):
    network.requires_grad_(False)
    assert saved_for_backward_bytes(loss_of(network, BATCH, IN), held(network)) == 0


def test_tensors_that_die_before_the_count_are_counted_once_each():
    # each product saves a fresh factor of 1 KiB and is dropped at once: its address may be used again
    weight = torch.ones(256, requires_grad=True)

    def forward():
        for _ in range(8):
            (weight * torch.rand(256)).sum()
        return weight.sum()

    assert saved_for_backward_bytes(forward, [weight]) == 8 * 1024


def test_the_flops_of_linear_layers_by_hand(network):
    first, second = 2 * BATCH * IN * HIDDEN, 2 * BATCH * HIDDEN * OUT
    # backward: the gradient of each weight, and of the input of all but the first layer
    assert flops_of_step(loss_of(network, BATCH, IN)) == (first + second) + (first + second) + second


def test_a_frozen_first_layer_costs_its_forward_pass_only(network):
    network[0].requires_grad_(False)
    first, second = 2 * BATCH * IN * HIDDEN, 2 * BATCH * HIDDEN * OUT
    assert flops_of_step(loss_of(network, BATCH, IN)) == first + 2 * second


def test_the_flops_of_a_convolution_by_hand():
    forward = 2 * (2 * 7 * 9) * (4 * 6 * 3 * 3)
    assert flops_of_step(loss_of(nn.Conv2d(4, 6, 3, padding=1), 2, 4, 7, 9)) == 2 * forward


@pytest.mark.parametrize(
    ("layer", "places", "each"),
    [
        (nn.Conv2d(16, 16, 3, padding=1, groups=16), 7 * 9, 9),  # depthwise: nine products for each output value
        (nn.Conv2d(16, 32, 3, padding=1, groups=4), 7 * 9, 4 * 9),
        (nn.ConvTranspose2d(16, 8, 3, groups=2), 7 * 9, 4 * 9),  # for each input value
    ],
)
def test_the_gradients_of_a_grouped_convolution_cost_as_much_as_itself(layer, places, each):
    channels = layer.in_channels if layer.transposed else layer.out_channels
    forward = 2 * 2 * channels * places * each
    images = torch.rand(2, 16, 7, 9)
    assert flops_of_step(lambda: layer(images).sum()) == 2 * forward
    assert flops_of_step(lambda: layer(images.requires_grad_()).sum()) == 3 * forward


def test_the_flops_of_attention_by_hand():
    query = torch.rand(2, 3, 16, 8, requires_grad=True)
    product = 2 * (2 * 3) * 16 * 16 * 8
    forward = 2 * product
    backward = 5 * product  # the scores again; the gradients of value, weights, query and key
    attention = nn.functional.scaled_dot_product_attention
    assert flops_of_step(lambda: attention(query, query, query).sum()) == forward + backward


@pytest.mark.parametrize("family", SMALL)
def test_flops_are_those_of_torchs_own_counter(family):
    network = SMALL[family]().eval()  # as a method trains it: the network's own batch norms keep their statistics
    for module in network.modules():
        # Gradients of grouped weights are dense to torch's own formula; dat folds its batch norms into such weights.
        if isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Conv2d) and module.groups > 1):
            module.requires_grad_(False)
    images = torch.rand(1, 3, 16, 16) if network.window is None else torch.rand(1, 3, network.window, network.window)
    with FlopCounterMode(display=False) as reference:
        torch.autograd.backward(network(images, min(network.heads)).sum())
    assert flops_of_step(lambda: network(images, min(network.heads)).sum()) == reference.get_total_flops() > 0


def test_recomputed_activations_cost_their_flops_again(network):
    features = torch.rand(BATCH, IN, requires_grad=True)
    plain = flops_of_step(lambda: network(features).sum())
    again = flops_of_step(lambda: checkpoint(network, features, use_reentrant=False).sum())
    first = 2 * BATCH * IN * HIDDEN
    # what nothing needs for backward, the last layer's output, is not computed again
    assert again == plain + first


def test_measuring_leaves_no_trace():
    layer, norm = nn.Linear(IN, HIDDEN), nn.BatchNorm1d(HIDDEN)
    network = nn.Sequential(layer, norm, nn.Dropout(0.5))
    gradient = torch.ones_like(layer.weight)
    layer.weight.grad = gradient
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    with undisturbed(network):
        flops_of_step(loss_of(network, BATCH, IN))
        assert not torch.equal(network.state_dict()["1.running_mean"], before["1.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert layer.weight.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert layer.bias.grad is None


def test_the_timer_reports_what_came_after_the_warm_up():
    timer = StepTimer([9.0, 9.0, *(float(second) for second in range(1, 22))], warm_up=2)
    summary = timer.summary()
    assert summary is not None
    assert (summary.median, summary.p95) == (11.0, 20.0)
    assert StepTimer([1.0, 2.0, 3.0]).summary() is None


def test_the_timer_measures_and_leaves_failed_steps_out():
    timer = StepTimer(warm_up=0)
    for _ in range(3):
        with timer:
            time.sleep(0.01)
    with pytest.raises(ZeroDivisionError), timer:
        _ = 1 / 0
    assert len(timer.seconds) == 3
    assert min(timer.seconds) >= 0.01


def test_a_cpu_tells_neither_peak_nor_energy():
    with Peak(torch.device("cpu")) as peak, Energy(torch.device("cpu")) as energy:
        torch.rand(64)
    assert peak.bytes is None
    assert energy.joules is None


class NoCounterError(Exception):
    pass


def fake_nvml(readings: Iterator[int | None]) -> SimpleNamespace:
    """Return a simulated NVML; as documented, it reports the total energy in millijoules."""

    def read(board: str) -> int:
        assert board == "GPU-1234"
        reading = next(readings)
        if reading is None:
            raise NoCounterError
        return reading

    return SimpleNamespace(
        NVMLError=NoCounterError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=read,
    )


@pytest.mark.parametrize(("readings", "joules"), [([5_000, 12_500], 7.5), ([None, None], None)])
def test_energy_is_what_nvml_counted_meanwhile(monkeypatch, readings, joules):
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(iter(readings)))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234"))
    with Energy(torch.device("cuda", 0)) as energy:
        pass
    assert energy.joules == joules


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_peak_of_a_gpu_holds_what_was_allocated():
    device = torch.device("cuda")
    with Peak(device) as peak, Energy(device) as energy:
        block = torch.empty(2**20, dtype=torch.uint8, device=device)
        del block
    assert peak.bytes is not None
    assert peak.bytes >= 2**20
    assert energy.joules is None or np.isfinite(energy.joules)
