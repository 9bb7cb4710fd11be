"""Test Restormer against the official network, NumPy's reflection and the plain formula of its attention."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.restormer import Attention
from petlir.benchmark.contract import check
from petlir.benchmark.errors import PetlirError
from petlir.methods.adapter import Adapter
from petlir.methods.lora import LoRA
from petlir.methods.ssf import SSF
from tests.helpers import official

TINY = {"dim": 8, "blocks": (1, 1, 1, 2), "refinement": 1, "attention_heads": (1, 2, 4, 8)}


def tiny(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build("restormer", **{**TINY, **options}).eval()


TINIEST = tiny()


@pytest.mark.parametrize(("options", "golden"), [(TINY, "tiny"), ({}, "withbias")])
def test_golden_outputs_of_the_official_network(shared, options, golden):
    network = build("restormer", **options).eval()
    official.fill(network, shared, official.own_shapes(network))
    assert official.error(network, shared, f"restormer_{golden}") <= 1e-4


@pytest.mark.parametrize(
    ("name", "options", "file", "count"),
    [
        ("restormer", {}, "restormer", 26_126_644),
        ("restormer-biasfree", {}, "restormer_biasfree", 26_111_668),
        ("restormer", {"norm": "biasfree"}, "restormer_biasfree", 26_111_668),
    ],
)
def test_official_keys_shapes_and_counts(shared, name, options, file, count):
    with torch.device("meta"):
        network = build(name, **options)
    assert official.own_shapes(network) == official.shapes(shared, file)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("norm", ["withbias", "biasfree"])
def test_official_weights_go_round(norm):
    one, other = tiny(norm=norm), tiny(norm=norm)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_official(one.official_state_dict())
    for name, tensor in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("rows", "fault"), [(0, "missing latent.0.attn.query.weight"), (2, "is (1, 64, 1, 1), expected (64, 64, 1, 1)")]
)
def test_faulty_fused_weights_are_one_line(rows, fault):
    state = tiny().official_state_dict()
    fused = state.pop("latent.0.attn.qkv.weight")
    if rows:
        state["latent.0.attn.qkv.weight"] = fused[:rows]
    with pytest.raises(PetlirError) as caught:
        tiny().load_official(state)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def reflected(images: torch.Tensor) -> torch.Tensor:
    """Pad with NumPy's reflection to multiples of 8, reflecting repeatedly if the image is smaller than its padding."""
    height, width = images.shape[-2:]
    margins = ((0, 0), (0, 0), (0, -height % 8), (0, -width % 8))
    return torch.from_numpy(np.pad(images.numpy(), margins, mode="reflect"))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20))
def test_padding_is_numpys_reflection(height, width):
    images = torch.rand(1, 3, height, width)
    assert torch.equal(TINIEST.pad(images), reflected(images))


@torch.no_grad()
@pytest.mark.parametrize("size", [(2, 3), (5, 16), (17, 9)])
def test_padding_is_cropped_off(size):
    images = torch.rand(2, 3, *size)
    assert torch.equal(tiny()(images), tiny()(reflected(images))[..., : size[0], : size[1]])


@pytest.mark.parametrize("size", [(1, 1), (1, 16), (8, 1)])
def test_a_single_row_or_column_is_refused(size):
    with pytest.raises(PetlirError, match="too small for restormer; expected at least 2×2"):
        tiny()(torch.rand(1, 3, *size))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_attention_between_channels(memory_format):
    """Section 3.1: the softmax of the temperature times q·kᵀ of normalised channels, computed step by step."""
    torch.manual_seed(0)
    layer, features = Attention(6, 3).double(), torch.randn(2, 6, 4, 5, dtype=torch.float64)
    torch.nn.init.normal_(layer.temperature)
    parts = {
        name: getattr(layer, f"{name}_dwconv")(getattr(layer, name)(features)) for name in ("query", "key", "value")
    }
    gathered = torch.empty_like(features)
    for head, channels in enumerate((slice(0, 2), slice(2, 4), slice(4, 6))):
        query, key, value = (part[:, channels].flatten(2) for part in parts.values())
        scores = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).mT
        weights = (scores * layer.temperature[head]).softmax(-1)
        gathered[:, channels] = (weights @ value).view(2, 2, 4, 5)
    attended = layer(features.contiguous(memory_format=memory_format))
    torch.testing.assert_close(attended, layer.project_out(gathered))


def test_a_black_image_has_finite_output_and_gradients():
    network = tiny(norm="biasfree")
    restored = network(torch.zeros(1, 3, 8, 8))
    torch.autograd.backward(restored.square().sum())
    assert restored.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_block_names():
    with torch.device("meta"):
        names = [block.name for block in build("restormer").blocks()]
    assert len(names) == 44
    assert [names[place] for place in (0, 4, 15, 16, 24, 30, 39, 40, 43)] == [
        "encoder.0.0", "encoder.1.0", "encoder.2.5", "middle.0", "decoder.0.0", "decoder.1.0", "decoder.2.3",
        "refinement.0", "refinement.3",
    ]  # fmt: skip


def test_settings_without_meaning_are_one_line():
    for options, words in (
        ({"norm": "bias-free"}, "did you mean 'biasfree'"),
        ({"blocks": (1, 1, 1)}, "four levels"),
        ({"dim": 9, "attention_heads": (1, 1, 1, 1)}, "expected an even dim"),
        ({"dim": 8, "attention_heads": (1, 3, 4, 8)}, "numbers of heads that divide"),
        ({"heads": (1, 2, 4, 8)}, "did you mean 'attention_heads'"),
    ):
        with pytest.raises(PetlirError, match=words):
            tiny(**options)


@pytest.mark.parametrize(
    "method",
    [LoRA(rank=2), *(pytest.param(one, marks=pytest.mark.long) for one in (Adapter(rank=2), SSF()))],
)
def test_methods_keep_their_contract_on_it(method):
    findings = check(method, tiny)
    assert [finding for finding in findings if not finding.passed] == []
