"""Test the AdaptIR module against the released code, and its ablations against their formulas."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from petlir.benchmark.backbones.ipt import IPT, IPTConfig, TokenGrid
from petlir.benchmark.contract import check
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.adaptir import BRANCHES, AdaptIR, AdaptIRModule

GRID = TokenGrid(16)
CASES = {
    "adaptir_module_576": (576, 24, 8, 1e-5, 1e-5),
    "adaptir_module_180": (180, 12, 4, 1e-3, 1e-2),
}
"""File → width, hidden channels, gate reduction, and tolerances of outputs and of gradients."""


def to_map(features: Tensor) -> Tensor:
    """Convert IPT's L×N×C tokens of a square image, or EDT's N×H×W×C features, to a map."""
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
    """A non-negative image is recovered from its amplitude and phase."""
    image = torch.rand(2, 6, 8, 8)
    torch.testing.assert_close(AdaptIRModule(20, 6).frequency(image), image, rtol=0, atol=1e-5)


def test_the_local_branch_is_a_depthwise_convolution_of_low_rank():
    module = AdaptIRModule(20, 6)
    kernel = torch.cat([module.local(torch.eye(6)[i].view(1, 6, 1, 1).expand(1, 6, 3, 3)) for i in range(6)])
    assert kernel.shape == (6, 6, 3, 3)
    assert torch.linalg.matrix_rank(module.conv_weight_A @ module.conv_weight_B) <= 3
    assert all(not kernel[i, j].any() for i in range(6) for j in range(6) if i != j)


@pytest.fixture
def filled():
    """Return a function that builds a module with random weights and statistics and the given options."""

    def make(**options: Any) -> AdaptIRModule:
        module = AdaptIRModule(20, 6, reduction=2, **options).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(0, 0.5)
            module.BN.get_buffer("running_mean").normal_()
        return module

    return make


IMAGE = torch.randn(2, 20, 8, 8, generator=torch.Generator().manual_seed(0))


def test_channel_alone_weighs_the_normed_hidden_features(filled):
    module = filled(branches=("channel",))
    inside = module.BN(module.head(IMAGE))
    places = module.compress(inside).flatten(1).softmax(1)
    weights = module.proj((inside.flatten(2) * places[:, None]).sum(2))
    torch.testing.assert_close(module(IMAGE), module.tail(inside * weights[:, :, None, None]))
    assert not hasattr(module, "channel_interaction")


@pytest.mark.parametrize("name", ["local", "frequency"])
def test_a_spatial_branch_alone_gates_itself(filled, name):
    module = filled(branches=(name,))
    output = getattr(module, name)(module.BN(module.head(IMAGE)))
    gates = module.channel_interaction(output).sigmoid() + module.spatial_interaction(output).sigmoid()
    torch.testing.assert_close(module(IMAGE), module.tail(gates * output))
    plain = filled(branches=(name,), ensemble=False)
    torch.testing.assert_close(plain(IMAGE), plain.tail(getattr(plain, name)(plain.BN(plain.head(IMAGE)))))


@pytest.mark.parametrize("ensemble", [True, False])
def test_two_branches_without_the_channel_weights(filled, ensemble):
    module = filled(branches=("local", "frequency"), ensemble=ensemble)
    inside = module.BN(module.head(IMAGE))
    local, frequency = module.local(inside), module.frequency(inside)
    if ensemble:
        one, other = module.channel_interaction(frequency).sigmoid(), module.spatial_interaction(local).sigmoid()
        local, frequency = one * local, other * frequency
    torch.testing.assert_close(module(IMAGE), module.tail(local + frequency))


def test_the_dense_local_branch_is_a_convolution_between_all_channels(filled):
    module = filled(branches=("local",), ensemble=False, dense=("local",))
    kernel = torch.mm(module.conv_weight_A, module.conv_weight_B).view(6, 6, 3, 3)
    inside = module.BN(module.head(IMAGE))
    patches = torch.nn.functional.unfold(inside, 3, padding=1)
    expected = (kernel.flatten(1) @ patches).view(2, 6, 8, 8) + module.conv_bias.view(-1, 1, 1)
    torch.testing.assert_close(module.local(inside), expected)


def test_the_dense_frequency_branch_passes_frequencies_unchanged_at_the_start():
    module, image = AdaptIRModule(20, 6, dense=("frequency",)), torch.rand(2, 6, 8, 8)
    assert module.amp_fuse.weight.shape == (6, 6, 1, 1)
    torch.testing.assert_close(module.frequency(image), image, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("position", "kind", "door"),
    [
        ("parallel-mlp", "mlp", "beside"),
        ("parallel-attention", "mixer", "beside"),
        ("after-mlp", "mlp", "behind"),
        ("after-attention", "mixer", "behind"),
    ],
)
def test_each_position_has_its_door(position, kind, door):
    network = adapt(tiny(), AdaptIR(hidden=3, position=position), "denoise_30", 0).backbone
    for block in network.blocks():
        places = [(branch.kind, name) for branch in block.branches for name in ("beside", "behind")]
        full = [place for place in places if len(getattr(block.branch(place[0]).hooks, place[1]))]
        assert full == [(kind, door)]


def test_a_module_after_a_branch_adds_to_what_it_reads():
    network = adapt(tiny(), AdaptIR(hidden=3, position="after-mlp"), "denoise_30", 0).backbone
    block = next(network.blocks())
    module = next(m for m in block.mlp.hooks.modules() if isinstance(m, AdaptIRModule))
    with torch.no_grad():
        module.tail.weight.normal_()
        features = torch.randn(2, 16, block.width)
        branch = block.mlp.norm.module(features).sin()
        expected = branch + block.layout.from_map(module(block.layout.to_map(branch)))
        torch.testing.assert_close(block.mlp.hooks(torch.sin, block.mlp.norm.module, features), expected)


def two_layers() -> IPT:
    return IPT("ipt-two", IPTConfig(features=4, layers=2, attention_heads=2, expansion=2, window=12), {"denoise_30": 1})


def modules_of(start: str) -> dict[str, list[dict[str, Tensor]]]:
    """Return the tensors of the modules in a network of two encoder and two decoder layers, by stack."""
    adapted = adapt(two_layers(), AdaptIR(hidden=4, start=start), "denoise_30", 0)
    found: dict[str, list[dict[str, Tensor]]] = {"encoder": [], "decoder": []}
    for name, module in adapted.backbone.named_modules():
        if isinstance(module, AdaptIRModule):
            found["encoder" if "encoder" in name else "decoder"].append(module.state_dict())
    return found


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_modules_start_independent_or_as_clones_within_a_stack():
    """IPT's official code deep-copies one encoder layer and one decoder layer."""
    own, cloned = modules_of("independent"), modules_of("cloned")
    assert not equal(*own["encoder"])
    assert not equal(*own["decoder"])
    assert equal(*cloned["encoder"])
    assert equal(*cloned["decoder"])
    assert not equal(cloned["encoder"][0], cloned["decoder"][0])
    assert (AdaptIR().label, AdaptIR(start="cloned").label) == ("adaptir", "adaptir[start=cloned]")


def test_clones_are_trained_apart():
    adapted = adapt(two_layers(), AdaptIR(4, start="cloned"), "denoise_30", 0)
    module = AdaptIRModule(next(iter(adapted.backbone.blocks())).width, 4)
    assert sum(tensor.numel() for tensor in adapted.trainable().values()) == 4 * sum(
        parameter.numel() for parameter in module.parameters()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branches": "local+fourier"}, "unknown branch of adaptir 'fourier'"),
        ({"branches": ""}, "unknown branch of adaptir ''"),
        ({"branches": "local", "dense": "frequency"}, "unknown dense branch of adaptir 'frequency'; valid: local"),
        ({"start": "clone"}, "unknown start of adaptir 'clone'; did you mean 'cloned'"),
        ({"position": "after-mpl"}, "unknown position of adaptir 'after-mpl'; did you mean 'after-mlp'"),
    ],
)
def test_impossible_options_are_one_line(options, message):
    with pytest.raises(PetlirError, match=message) as caught:
        AdaptIR(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"branches": branch} for branch in BRANCHES]
    + [pytest.param({"branches": "+".join(two)}, marks=pytest.mark.long) for two in combinations(BRANCHES, 2)]
    + [{"dense": "local+frequency"}, {"position": "after-attention"}, {"branches": "local", "ensemble": False}],
)
def test_the_ablations_keep_the_contract(options):
    """In variants without gates, `reduction` has no effect."""
    gated = options.get("ensemble", True) and options.get("branches") != "channel"
    findings = [finding for finding in check(AdaptIR(hidden=4, **options)) if gated or finding.name != "options act"]
    assert [finding for finding in findings if not finding.passed] == []
