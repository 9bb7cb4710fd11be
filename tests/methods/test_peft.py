"""Test Hugging Face peft's tuners: the contract, closed forms, and its LoRA against petlir's."""

import importlib.util

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark import grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.contract import check
from petlir.benchmark.contract.toy_model import SMALL, tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import Adapted, adapt
from petlir.methods.lora import LoRA
from petlir.methods.peft_method import Tuned
from petlir.methods.peft_tuners import METHODS
from tests.helpers.networks import ConvNet

pytestmark = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="no peft")  # slow to import
HEAD, WIDTH = "denoise_30", 36
COUNTS = {
    "peft:lora[rank=3]": 6 * 3 * 2 * WIDTH,
    "peft:dora[rank=3]": 6 * (3 * 2 * WIDTH + WIDTH),
    "peft:adalora[rank=3]": 6 * (3 * 2 * WIDTH + 3),
    "peft:loha[rank=3]": 6 * 4 * 3 * WIDTH,
    "peft:vera[rank=5]": 6 * (5 + WIDTH),
    "peft:fourierft[frequencies=70]": 6 * 70,
    "peft:waveft[coefficients=70]": 6 * 70,
    "peft:c3a[block=6]": 6 * WIDTH * WIDTH // 6,
    "peft:hra[rank=2]": 6 * 2 * WIDTH,
    "peft:oft[block=6; sites=query]": 3 * WIDTH // 6 * 15,
    "peft:ia3": 3 * 2 * WIDTH + 2 * 2 * WIDTH,
    "peft:road[sites=all]": 12 * WIDTH + 2 * (2 * WIDTH + WIDTH),
}
"""Trainable parameters on the small IPT:

2 blocks with 3 attentions of 36×36 projections each, and an mlp of width 72.
"""


def method(item: str) -> Method:
    (found,) = grid.methods(item, METHODS)
    return found


def shaken(adapted: Adapted) -> Adapted:
    """Add random numbers to all trained parameters, which start at zero or one."""
    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=numbers), alpha=0.1)
    return adapted


def tuned(network: Backbone) -> list[Tuned]:
    return [module for module in network.modules() if isinstance(module, Tuned)]


@pytest.mark.parametrize("name", METHODS)
def test_every_tuner_keeps_the_contract(name):
    assert [finding for finding in check(METHODS[name]()) if not finding.passed] == []


@pytest.mark.parametrize("name", ["peft:lora", "peft:oft"])
def test_on_maps_too(name):
    assert [finding for finding in check(method(f"{name}[sites=all]"), ConvNet) if not finding.passed] == []


@pytest.mark.parametrize("name", METHODS)
def test_a_convolution_is_the_linear_layer_that_it_is(name):
    """With the same weights, a tuner gives the same output on a linear layer as on a 1×1 convolution."""
    convolution = tuned(shaken(adapt(ConvNet(), method(f"{name}[sites=up]"), "restore", 0)).backbone)[0].eval()
    linear = Tuned(convolution.layer, maps=False)
    image = torch.randn(2, 24, 4, 5)
    expected = linear(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(convolution(image), expected, rtol=0, atol=1e-5)
    folded = convolution.merged()
    assert isinstance(folded, nn.Conv2d)
    torch.testing.assert_close(folded(image), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("item", COUNTS)
def test_it_trains_as_many_parameters_as_its_formula_says(item):
    assert sum(p.numel() for p in adapt(tiny(), method(item), HEAD, 0).trainable().values()) == COUNTS[item]


@pytest.mark.parametrize("name", METHODS)
def test_counting_needs_no_memory(name):
    """Some tuners read the values of the frozen weights; on the device `meta` they are given zeros."""
    here = adapt(tiny(), METHODS[name](), HEAD, 0).trainable()
    with torch.device("meta"):
        there = adapt(tiny(), METHODS[name](), HEAD, 0).trainable()
    assert {name: p.shape for name, p in there.items()} == {name: p.shape for name, p in here.items()}
    assert all(p.is_meta for p in there.values())


def steps(adapted: Adapted, images: Tensor) -> Tensor:
    """Return the output after ten steps of AdamW."""
    optimizer = torch.optim.AdamW(adapted.trainable().values(), lr=1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        functional.mse_loss(adapted.backbone(images, HEAD), images.flip(-1)).backward()
        optimizer.step()
    output: Tensor = adapted.backbone(images, HEAD)
    return output.detach()


@pytest.mark.parametrize("alpha", [None, 6.0])
def test_lora_is_the_project_s_own_at_the_start_and_after_ten_steps(alpha):
    ours = shaken(adapt(tiny(), LoRA(rank=3, alpha=alpha), HEAD, 0))
    theirs = adapt(tiny(), method(f"peft:lora[rank=3; alpha={alpha}]"), HEAD, 0)
    names = {"layer.lora_A.default.weight": "down", "layer.lora_B.default.weight": "up"}
    with torch.no_grad():
        for name, factor in theirs.trainable().items():
            ending = next(ending for ending in names if name.endswith(ending))
            factor.copy_(ours.trainable()[name.replace(ending, names[ending])])
    assert len(theirs.trainable()) == len(ours.trainable())
    images = torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        expected = ours.backbone(images, HEAD)
        assert (theirs.backbone(images, HEAD) - expected).abs().max() <= 1e-6 * expected.abs().max()
    expected = steps(ours, images)
    assert (steps(theirs, images) - expected).abs().max() <= 1e-6 * expected.abs().max()


def weights(item: str) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return the first projection's frozen weight, its effective weight, and its trained parameters."""
    network = shaken(adapt(tiny(), method(item), HEAD, 0)).backbone
    first = tuned(network)[0]
    trained = {name: p.detach() for name, p in first.named_parameters() if p.requires_grad}
    effective = first(torch.eye(WIDTH)[None])[0].T.detach()
    return next(tiny().blocks()).projections()[0].module.get_parameter("weight").detach(), effective, trained


def test_dora_is_its_formula():
    """Eq. 5: magnitude times direction, with the norm of each row."""
    frozen, effective, trained = weights("peft:dora[rank=3]")
    down, up, magnitude = trained.values()
    direction = frozen + up @ down
    expected = magnitude[:, None] * direction / direction.norm(dim=1, keepdim=True)
    torch.testing.assert_close(effective, expected, rtol=0, atol=1e-5)


def test_the_scale_of_rslora_is_alpha_over_the_root_of_the_rank():
    frozen, effective, trained = weights("peft:rslora[rank=9; alpha=6]")
    down, up = trained.values()
    torch.testing.assert_close(effective, frozen + 2 * up @ down, rtol=0, atol=1e-5)


def test_ia3_scales_keys_values_and_what_goes_into_down():
    network = shaken(adapt(tiny(), METHODS["peft:ia3"](), HEAD, 0)).backbone
    block, plain = next(network.blocks()), next(tiny().blocks())
    features, inner = torch.randn(2, 5, WIDTH), torch.randn(2, 5, 2 * WIDTH)
    for name, reads in (("key", features), ("value", features), ("down", inner)):
        site, frozen = block.projections(name)[0].module, plain.projections(name)[0].module
        (scale,) = (p.flatten() for p in site.parameters() if p.requires_grad)
        expected = frozen(reads * scale) if name == "down" else frozen(reads) * scale
        torch.testing.assert_close(site(reads), expected, rtol=0, atol=1e-5)
    assert len(tuned(network)) == 2 * 3 + 2


def test_hra_mirrors_the_inputs_at_planes():
    """Eq. 3: W (I - 2uu'/u'u) for each u."""
    frozen, effective, trained = weights("peft:hra[rank=2]")
    (planes,) = trained.values()
    rotation = torch.eye(WIDTH)
    for u in planes.T:
        rotation = rotation @ (torch.eye(WIDTH) - 2 * torch.outer(u, u) / u.dot(u))
    torch.testing.assert_close(effective, frozen @ rotation, rtol=0, atol=1e-5)


def test_frozen_random_bases_are_not_stored():
    adapted = adapt(tiny(), METHODS["peft:vera"](), HEAD, 0)
    assert adapted.state().keys() == adapted.trainable().keys()


def test_a_site_that_the_backbone_has_not_is_named_with_those_that_it_has():
    reason = METHODS["peft:lora"]().supports(SMALL["nafnet"]())
    assert reason == "nafnet has no query projection; option sites takes expand+attention+out+up+down, or all"
    assert method("peft:lora[sites=expand+out]").supports(SMALL["nafnet"]()) is None


@pytest.mark.parametrize("item", ["peft:c3a[block=7]", "peft:boft[block=7]", "peft:miss[rank=99]"])
def test_what_peft_refuses_is_not_applicable_with_peft_s_reason(item):
    reason = method(item).supports(tiny())
    assert reason is not None
    assert reason.startswith(f"{method(item).name}: ")
    assert "\n" not in reason
    with pytest.raises(PetlirError, match=r"7|99"):
        adapt(tiny(), method(item), HEAD, 0)


def test_without_peft_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for act in (METHODS["peft:dora"]().supports, METHODS["peft:dora"]().adapt):
        with pytest.raises(PetlirError, match=r"peft:dora needs Hugging Face peft.*pip install 'petlir\[peft\]'"):
            act(tiny())


def test_a_star_stands_for_the_family_only_where_it_is_named():
    every = find().methods
    assert grid.choose("method", "peft:*", every) == list(METHODS)
    assert not set(grid.choose("method", "*", every)) & set(METHODS)
    assert grid.choose("method", "peft:l?ra", every) == ["peft:lora"]
    with pytest.raises(PetlirError, match="did you mean 'peft:dora'"):
        grid.choose("method", "peft:doora", every)
