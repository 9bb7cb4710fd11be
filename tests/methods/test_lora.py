"""Test LoRA against Hugging Face peft, and its updates merged into the weights."""

import pytest
import torch
from torch import nn

from petlir.benchmark.contract.toy_model import SMALL, tiny
from petlir.benchmark.training.adaptation import adapt, merge
from petlir.methods.fact import FacT
from petlir.methods.lora import LoRA, LowRank

HEAD = "denoise_30"


def shaken(method: LoRA):
    """Adapt the small network and set all of LoRA's weights to random values."""
    adapted = adapt(tiny(), method, HEAD, seed=0)
    with torch.no_grad():
        for index, parameter in enumerate(adapted.trainable().values()):
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)))
    return adapted


@pytest.mark.parametrize("alpha", [3.0, 8.0])
def test_same_function_as_peft(alpha):
    peft = pytest.importorskip("peft")
    ours = shaken(LoRA(rank=3, alpha=alpha))
    config = peft.LoraConfig(r=3, lora_alpha=alpha, target_modules=["query", "value"], lora_dropout=0.0)
    theirs = peft.inject_adapter_in_model(config, tiny()).eval()
    factors = {name: p for name, p in theirs.named_parameters() if "lora_" in name}
    assert len(factors) == len(ours.trainable())
    with torch.no_grad():
        for name, factor in factors.items():
            own = name.replace("lora_A.default.weight", "down").replace("lora_B.default.weight", "up")
            factor.copy_(ours.trainable()[own])
        images = torch.rand(2, 3, 12, 12)
        expected = theirs(images, HEAD)
        assert (ours.backbone(images, HEAD) - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_merging_leaves_the_network_as_it_was_in_size_and_output():
    adapted, images = shaken(LoRA(rank=5)), torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        before = adapted.backbone(images, HEAD)
        assert merge(adapted.backbone)
        after = adapted.backbone(images, HEAD)
    assert adapted.backbone.state_dict().keys() == tiny().state_dict().keys()
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


def test_a_convolution_is_treated_as_the_linear_layer_that_it_is():
    linear, convolution = nn.Linear(6, 10), nn.Conv2d(6, 10, 1)
    with torch.no_grad():
        convolution.weight.copy_(linear.weight[..., None, None])
        convolution.get_parameter("bias").copy_(linear.bias)
    one, other = LowRank(linear, 3, 0.5), LowRank(convolution, 3, 0.5)
    with torch.no_grad():
        one.up.normal_()
        other.up.copy_(one.up[..., None, None])
        other.down.copy_(one.down[..., None, None])
    image = torch.randn(2, 6, 4, 5)
    expected = one(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(other(image), expected)
    torch.testing.assert_close(other.merged()(image), expected)


def test_the_scale_does_not_depend_on_the_rank_unless_alpha_is_given():
    def scale(method: LoRA) -> float:
        return next(m.scale for m in adapt(tiny(), method, HEAD, 0).backbone.modules() if isinstance(m, LowRank))

    assert scale(LoRA(rank=2)) == scale(LoRA(rank=8)) == 1
    assert scale(LoRA(rank=8, alpha=1.0)) == 1 / 8


def test_on_a_network_without_attention_the_label_names_the_sites():
    nafnet, method = SMALL["nafnet"](), LoRA(sites="expand+out")
    assert LoRA().supports(nafnet) == (
        "nafnet has no query projection; option sites takes expand+attention+out+up+down, or all"
    )
    assert method.supports(nafnet) is None
    assert method.label == "lora[sites=expand+out]"
    adapted = adapt(nafnet, method, min(nafnet.heads), 0)
    owners = {name.rpartition(".")[0].rpartition(".")[2] for name in adapted.trainable()}
    assert owners == {"conv1", "conv3"}


def test_all_sites_are_all_projections():
    adapted = adapt(tiny(), LoRA(sites="all", rank=1), HEAD, 0)
    sites = [site for block in tiny().blocks() for site in block.projections()]
    assert len(adapted.trainable()) == 2 * len(sites)


@pytest.mark.parametrize("method", [LoRA(rank=2000), FacT(rank=2000)], ids=["lora", "fact"])
def test_a_rank_beyond_the_layer_is_one_clear_line(method):
    assert str(method.supports(tiny())).startswith("rank 2000 is beyond a query projection")
