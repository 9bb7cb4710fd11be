"""The AdaptIR module against the released one: outputs and gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.backbones.ipt import TokenGrid
from methods.adaptir import AdaptIRModule

GRID = TokenGrid(16)
CASES = {
    "adaptir_module_576": (576, 24, 8, 1e-5, 1e-5),
    "adaptir_module_180": (180, 12, 4, 1e-3, 1e-2),
}
"""File: width, hidden channels, gate reduction, tolerance of outputs and of gradients."""


def to_map(features: Tensor) -> Tensor:
    """IPT's tokens L×N×C of a square, EDT's N×H×W×C."""
    image = GRID.to_map(features.transpose(0, 1)) if features.ndim == 3 else features.permute(0, 3, 1, 2)
    return image.contiguous()  # the order of summation decides the phase's sign at self-conjugate frequencies


@pytest.fixture(params=CASES)
def case(request, shared):
    width, hidden, reduction, near, near_gradient = CASES[request.param]
    with np.load(shared / "goldens" / f"{request.param}.npz") as file:
        golden = {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}
    module = AdaptIRModule(width, hidden, reduction=reduction)
    state = {name.removeprefix("state::"): value for name, value in golden.items() if name.startswith("state::")}
    module.load_state_dict(state)
    return module, golden, near, near_gradient


def test_outputs_equal_the_released_module(case):
    module, golden, near, _ = case
    for mode, name in ((False, "y_eval"), (True, "y_train")):
        output = module.train(mode)(to_map(golden["x"]))
        torch.testing.assert_close(output, to_map(golden[name]), rtol=0, atol=near)


def test_gradients_equal_the_released_module(case):
    module, golden, _, near = case
    x = to_map(golden["x"]).clone().requires_grad_()
    module.train()(x).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()} | {"x": x.grad}
    for name, gradient in gradients.items():
        if name in ("head.bias", "compress.bias"):
            assert gradient.abs().max() < 1e-2, name
        else:
            expected = to_map(golden["grad_x"]) if name == "x" else golden[f"grad::{name}"]
            assert (gradient - expected).abs().max() <= near * expected.abs().max(), name


@pytest.mark.parametrize("hidden", [1, 2, 3, 13])
@pytest.mark.parametrize("ensemble", [True, False])
def test_any_hidden_width_starts_at_zero(hidden, ensemble):
    module = AdaptIRModule(20, hidden, ensemble=ensemble)
    assert not module(torch.randn(2, 20, 5, 6)).any()


def test_frequencies_pass_unchanged_at_the_start():
    """Amplitude and phase of a non-negative image, put together again, are that image."""
    image = torch.rand(2, 6, 8, 8)
    torch.testing.assert_close(AdaptIRModule(20, 6).frequency(image), image, rtol=0, atol=1e-5)


def test_the_local_branch_is_a_depthwise_convolution_of_low_rank():
    module = AdaptIRModule(20, 6)
    kernel = torch.cat([module.local(torch.eye(6)[i].view(1, 6, 1, 1).expand(1, 6, 3, 3)) for i in range(6)])
    assert kernel.shape == (6, 6, 3, 3)
    assert torch.linalg.matrix_rank(module.conv_weight_A @ module.conv_weight_B) <= 3
    assert all(not kernel[i, j].any() for i in range(6) for j in range(6) if i != j)
