"""Test BitFit, norm tuning, tail tuning, partial fine-tuning and training from scratch against hand counts."""

import copy

import pytest
import torch
from torch import nn

from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.layers.places import PLACES, places
from petlir.benchmark.method import Method
from petlir.benchmark.training.adaptation import adapt, merge
from petlir.methods.bitfit import BitFit
from petlir.methods.norm_tune import NormTuning
from petlir.methods.partial import PartialFineTuning
from petlir.methods.scratch import Scratch
from petlir.methods.tail_tune import TailTuning
from tests.helpers.networks import ConvNet

HEAD = "denoise_30"
IPT_BODY = 12 * (2304 + 576) + 12 * (2304 + 576)
"""The number of biases in the feed-forward layers; attention has none."""


def counted(method: Method, backbone: str, head: str) -> int:
    with torch.device("meta"):
        adapted = adapt(build(backbone), method, head, seed=0)
    return sum(parameter.numel() for parameter in adapted.trainable().values())


@pytest.mark.parametrize(
    ("backbone", "head", "method", "expected"),
    [
        # feed-forwards, 60 norms, what stands around the layers, head (5 convolutions of 64), tail
        ("ipt", "sr_x4", BitFit(), IPT_BODY + 60 * 576 + 576 + 2304 + 576 + 5 * 64 + 256 + 256 + 3),
        ("ipt", "denoise_50", BitFit(), IPT_BODY + 60 * 576 + 576 + 2304 + 576 + 5 * 64 + 3),
        ("nafnet-32", "restore", BitFit(), 109_411),
        ("restormer", "restore", BitFit(), 26_126_644 - 26_111_668),  # only its norms have biases
        ("ipt", "sr_x4", NormTuning(), 60 * 2 * 576),
        ("nafnet-32", "restore", NormTuning(), 39_424),
        ("restormer", "restore", NormTuning(), 2 * (26_126_644 - 26_111_668)),
        ("restormer-biasfree", "restore", NormTuning(), 26_126_644 - 26_111_668),
        ("edt-b", "sr_x4", NormTuning(), (36 * 2 + 2) * 2 * 180),
        ("ipt", "sr_x4", TailTuning(), 297_155),
        ("ipt", "sr_x3", TailTuning(), 334_083),
        ("nafnet-32", "restore", TailTuning(), 32 * 3 * 9 + 3),
        ("restormer", "restore", TailTuning(), 96 * 3 * 9),
        ("ipt", "sr_x4", PartialFineTuning(where="encoder"), 47_837_952),
        ("ipt", "sr_x4", PartialFineTuning(where="decoder"), 63_777_024),
    ],
    ids=lambda value: getattr(value, "label", value),
)
def test_counts(backbone, head, method, expected):
    assert counted(method, backbone, head) == expected


def test_shares_of_nafnet_are_those_that_colora_reports():
    """The paper reports 18 % of the parameters in encoder and decoder, and 80 % in the middle.

    The counts here are 19.0 % and 76.2 %; the rest is in layers between these parts.
    """
    shares = {where: counted(PartialFineTuning(where=where), "nafnet-32", "restore") / 29_159_715 for where in PLACES}
    assert shares["encoder"] + shares["decoder"] == pytest.approx(0.190, abs=5e-4)
    assert shares["middle"] == pytest.approx(0.762, abs=5e-4)


def test_a_row_of_blocks_is_cut_into_thirds():
    with torch.device("meta"):
        found = places(build("edt-b"))
    assert {place: len(blocks) for place, blocks in found.items()} == dict.fromkeys(PLACES, 12)
    assert found["decoder"][0].name.startswith("stage.4")


def test_what_a_backbone_does_not_have_is_said():
    with torch.device("meta"):
        biasfree = build("restormer-biasfree")
    assert BitFit().supports(biasfree) == "restormer-biasfree has no biases"
    assert PartialFineTuning(where="middle").supports(tiny()) == "ipt-tiny has no middle; it has encoder, decoder"
    with pytest.raises(PetlirError, match="unknown place of partial 'encodr'; did you mean 'encoder'"):
        PartialFineTuning(where="encodr")


@pytest.mark.parametrize("method", [BitFit(), NormTuning(), TailTuning(), PartialFineTuning(), Scratch()])
def test_nothing_is_inserted_so_everything_is_merged_at_once(method):
    adapted = adapt(tiny(), method, HEAD, seed=0)
    assert not adapted.inserted
    before = copy.deepcopy(adapted.backbone.state_dict())
    assert merge(adapted.backbone)
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapted.backbone.state_dict().items())


def test_constants_are_no_biases():
    assert not any("mean" in name for name in adapt(tiny(), BitFit(), HEAD, seed=0).trainable())


def test_from_scratch_all_weights_in_use_are_new_and_repeat_from_the_seed():
    old = tiny().state_dict()
    first, again, other = (adapt(tiny(), Scratch(), HEAD, seed).backbone.state_dict() for seed in (1, 1, 2))
    kept = {name for name in old if torch.equal(old[name], first[name])}
    norms = {name for name in old if "norm" in name}  # a new norm is what tiny()'s untrained ones are
    unused = {name for name in old if name.startswith(("head.0.", "tail.0."))}
    assert kept == norms | unused | {f"{name}_mean.{part}" for name in ("sub", "add") for part in ("weight", "bias")}
    assert all(torch.equal(first[name], again[name]) for name in old)
    assert not any(torch.equal(first[name], other[name]) for name in old if name not in kept)


def test_from_scratch_trained_norms_start_anew():
    network = tiny()
    with torch.no_grad():
        for norm in (site.module for block in network.blocks() for site in block.norms):
            norm.get_parameter("weight").fill_(7)
    adapted = adapt(network, Scratch(), HEAD, seed=0)
    assert all((site.module.get_parameter("weight") == 1).all() for b in adapted.backbone.blocks() for site in b.norms)


@pytest.mark.parametrize("backbone", ["nafnet-nano", "restormer-nano", "edt-t"])
def test_from_scratch_every_family_draws_all_its_weights(backbone):
    """All weights are set to seven first; none may be seven afterwards."""
    network = build(backbone)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(7)
    assert Scratch().supports(network) is None
    adapt(network, Scratch(), next(iter(network.heads)), seed=0)
    assert not any((parameter == 7).any() for parameter in network.parameters())


class Fixed(nn.Module):
    """A layer without a function that initialises its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def test_a_layer_that_cannot_draw_its_weights_is_named():
    network = ConvNet()
    network.add_module("fixed", Fixed())
    assert Scratch().supports(network) == "conv-tiny: Fixed cannot reinitialise its weights"
