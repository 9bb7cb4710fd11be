"""Test that no two methods compute the same function.

An earlier benchmark shipped nine methods as one and the same file.
"""

import importlib.util
import itertools

import pytest
import torch
from torch import Tensor

from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.adaptir import AdaptIR

SIZE = 6
SAME = {("full-ft", "scratch"), ("lora", "peft:lora")}
"""Pairs that are equal on purpose: full fine-tuning from other weights, and one method from two libraries."""


def built_in() -> dict[str, Method]:
    """Return every method that trains, and its variants; all that have a size get the same one."""
    found = find().methods
    methods = {name: method(**({method.size: SIZE} if method.size else {})) for name, method in found.items()}
    methods["adaptir, summed"] = AdaptIR(hidden=SIZE, ensemble=False)
    if importlib.util.find_spec("peft") is None:
        methods = {name: method for name, method in methods.items() if not name.startswith("peft:")}
    return {name: m for name, m in methods.items() if m.trains and m.supports(tiny()) is None}


def filled(method: Method, images: Tensor) -> Tensor:
    """Return the small network's output when the n-th trainable tensor is drawn with seed n."""
    adapted = adapt(tiny(), method, "denoise_30", seed=0)
    with torch.no_grad():
        for order, parameter in enumerate(adapted.trainable().values()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(order)))
        output: Tensor = adapted.backbone.eval()(images, "denoise_30")
    return output


@pytest.fixture(scope="module")
def outputs() -> dict[str, Tensor]:
    images = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return {name: filled(method, images) for name, method in built_in().items()}


def test_no_two_methods_are_the_same_function(outputs):
    assert len(outputs) > 10
    for (one, first), (other, second) in itertools.combinations(outputs.items(), 2):
        if (one, other) not in SAME:
            assert (first - second).abs().max() > 1e-3 * first.abs().max(), f"{one} equals {other}"


@pytest.mark.parametrize(("one", "other"), sorted(SAME))
def test_what_should_be_the_same_is(outputs, one, other):
    if one not in outputs or other not in outputs:
        pytest.skip(f"{one} or {other} is not there")
    assert (outputs[one] - outputs[other]).abs().max() <= 1e-5 * outputs[one].abs().max()
