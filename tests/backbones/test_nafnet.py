"""Test NAFNet against the official network, and windowed pooling against a brute-force average."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.nafnet import NAFBlock, WindowedMean
from petlir.benchmark.contract import check
from petlir.benchmark.errors import PetlirError
from petlir.methods.adapter import Adapter
from petlir.methods.ssf import SSF
from tests.helpers import official

TINY = {"width": 8, "encoders": (1, 1), "middle": 1, "decoders": (1, 1)}


def tiny(**options):
    """Return a tiny network with random weights, including β and γ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("nafnet", **{**TINY, **options})
        for name, parameter in network.named_parameters():
            if name.endswith(("beta", "gamma")):
                nn.init.normal_(parameter)
    return network.eval()


@pytest.mark.parametrize(("name", "options", "golden"), [("nafnet", TINY, "_tiny"), ("nafnet-32", {}, "32_sidd")])
def test_golden_outputs_of_the_official_network(shared, name, options, golden):
    network = build(name, **options).eval()
    official.fill(network, shared, official.own_shapes(network))
    assert official.error(network, shared, f"nafnet{golden}") <= 1e-4


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [
        ("nafnet-32", "nafnet32", 29_159_715),
        ("nafnet-64", "nafnet64", 115_982_915),
        ("nafnet-32-gopro", "nafnet32_gopro", 17_111_907),
        ("nafnet-64-gopro", "nafnet64_gopro", 67_888_835),
    ],
)
@pytest.mark.parametrize("pooling", ["global", "windowed"])
def test_official_keys_shapes_and_counts(shared, name, file, count, pooling):
    with torch.device("meta"):
        network = build(name, pooling=pooling)
    assert official.own_shapes(network) == official.shapes(shared, file)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@torch.no_grad()
def test_padding_is_zeros_at_the_bottom_and_right():
    network, images = tiny(), torch.rand(1, 3, 9, 14)
    padded = torch.zeros(1, 3, 12, 16)
    padded[..., :9, :14] = images
    assert torch.equal(network(images), network(padded)[..., :9, :14])


@torch.no_grad()
def test_fresh_blocks_are_the_identity_and_inserted_modules_stand_outside_of_beta():
    class Constant(nn.Module):
        def forward(self, features):
            return torch.full_like(features, 3.0)

    network = build("nafnet", **TINY)
    block, features = next(network.blocks()), torch.randn(1, 8, 4, 4)
    assert torch.equal(block.site.module(features), features)
    block.mixer.parallel(Constant())
    block.mlp.after(Constant())
    torch.testing.assert_close(block.site.module(features), features + 6)


@torch.no_grad()
def test_a_branch_scales_with_beta():
    block, features = NAFBlock(6, nn.AdaptiveAvgPool2d(1)), torch.randn(1, 6, 5, 5)
    block.beta.fill_(2.0)
    once = block(features) - features
    block.beta.fill_(-4.0)
    torch.testing.assert_close(block(features) - features, -2 * once)
    assert once.abs().max() > 1e-3


def test_block_names():
    with torch.device("meta"):
        names = [block.name for block in build("nafnet-32").blocks()]
    assert len(names) == 36
    assert [names[place] for place in (0, 2, 15, 16, 27, 28, 35)] == [
        "encoder.0.0", "encoder.1.0", "encoder.3.7", "middle.0", "middle.11", "decoder.0.0", "decoder.3.1",
    ]  # fmt: skip


def brute(features: torch.Tensor, side: int) -> torch.Tensor:
    """Average each complete window separately, and replicate the outermost means to reach the size of the features."""
    height, width = features.shape[-2:]
    means = functional.avg_pool2d(features.double(), (min(side, height), min(side, width)), stride=1)
    down, right = height - means.shape[-2], width - means.shape[-1]
    pad = (right // 2, right - right // 2, down // 2, down - down // 2)
    return functional.pad(means, pad, mode="replicate")


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.integers(1, 9),
    st.integers(1, 14),
    st.integers(1, 15),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_windowed_means_are_those_of_brute_force(seed, height, width, side, memory_format):
    features = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    means = WindowedMean(side)(features.contiguous(memory_format=memory_format))
    assert means.shape[-2:] == ((1, 1) if side >= max(height, width) else (height, width))
    torch.testing.assert_close(means.expand(2, 3, height, width), brute(features, side))


def test_running_sums_keep_their_digits_on_large_images():
    features = torch.rand(1, 1, 720, 1280, generator=torch.Generator().manual_seed(0)) + 10
    sums = functional.pad(features.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))[0, 0]
    exact = (sums[384:, 384:] - sums[384:, :-384] - sums[:-384, 384:] + sums[:-384, :-384]) / 384**2
    inside = WindowedMean(384)(features)[0, 0, 191:-192, 191:-192]
    assert (inside - exact).abs().max() <= 4e-6


def test_the_window_is_half_as_large_again_as_the_training_crops():
    """In pixels of the input, the window measures 1.5 · 256 at every level."""
    with torch.device("meta"):
        modules = list(build("nafnet-32-gopro", pooling="windowed").modules())
    blocks = [module for module in modules if isinstance(module, NAFBlock)]
    pools = [(block.conv1.in_channels // 32, block.sca[0]) for block in blocks]
    reach = {shrunk * pool.side for shrunk, pool in pools if isinstance(pool, WindowedMean)}
    assert len(pools) == 36
    assert reach == {384}


@torch.no_grad()
def test_windowed_pooling_of_a_network_beyond_its_window():
    class Brute(nn.Module):
        def __init__(self, side):
            super().__init__()
            self.side = side

        def forward(self, features):
            return brute(features, self.side).to(features.dtype)

    sizes = {"width": 2, "encoders": (1,), "middle": 1, "decoders": (1,)}
    images = torch.rand(1, 3, 388, 400, dtype=torch.float64)
    expected = tiny(**sizes).double()
    for block, side in zip(expected.blocks(), (384, 192, 384), strict=True):
        block.site.module.sca[0] = Brute(side)
    windowed = tiny(**sizes, pooling="windowed").double()(images)
    torch.testing.assert_close(windowed, expected(images), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(windowed, tiny(**sizes).double()(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_windowed_pooling_of_what_the_window_covers_is_global():
    images = torch.rand(1, 3, 20, 24)
    torch.testing.assert_close(tiny(pooling="windowed")(images), tiny()(images))


def test_settings_without_meaning_are_one_line():
    with pytest.raises(PetlirError, match="did you mean 'windowed'"):
        build("nafnet-32", pooling="window")
    with pytest.raises(PetlirError, match="as many decoders as encoders"):
        build("nafnet", width=8, encoders=(1, 1), middle=1, decoders=(1,))
    with pytest.raises(PetlirError, match="unknown option of backbone nafnet-32 'width'"):
        build("nafnet-32", width=8)


@pytest.mark.parametrize("method", [Adapter(rank=2), SSF()])
def test_methods_keep_their_contract_on_it(method):
    findings = check(method, tiny)
    assert [finding for finding in findings if not finding.passed] == []
