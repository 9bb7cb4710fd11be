"""Test the enlargement of inputs for networks that keep the size.

The references are Pillow and the MATLAB-like enlargement that degradations use.
"""

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.enlarge import enlarge
from petlir.benchmark.degradations import resize
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.task import Task
from petlir.methods.cascade import Cascade

NETWORKS = {
    "nafnet": {"width": 4, "encoders": (1,), "middle": 1, "decoders": (1,)},
    "restormer": {"dim": 8, "blocks": (1, 1, 1, 1), "refinement": 1},
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 2, 3, 4]))
def test_it_is_the_degradations_enlargement_before_rounding(seed, height, width, scale):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    images = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    enlarged = enlarge(images, scale)[0].permute(1, 2, 0).clamp(0, 1) * 255
    expected = torch.from_numpy(resize.enlarge(image, scale)).float()
    assert (enlarged - expected).abs().max() <= 0.5 + 1e-4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_inside_it_is_the_bicubic_of_pillow(scale):
    """Pillow's bicubic enlargement has the same kernel (a = -0.5), but another rule at the border."""
    plane = np.random.default_rng(0).random((9, 11), dtype=np.float32)
    expected = np.asarray(PIL.Image.fromarray(plane).resize((11 * scale, 9 * scale), PIL.Image.Resampling.BICUBIC))
    inside = (slice(2 * scale, -2 * scale),) * 2
    enlarged = enlarge(torch.from_numpy(plane)[None, None], scale)[0, 0].numpy()
    np.testing.assert_allclose(enlarged[inside], expected[inside], atol=1e-6)


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return build(request.param, **NETWORKS[request.param]).eval()


@torch.no_grad()
def test_a_head_enlarges_and_then_restores(network):
    images = torch.rand(2, 3, 6, 10)
    for head, scale in (("restore", 1), ("enlarged_x2", 2), ("enlarged_x3", 3), ("enlarged_x4", 4)):
        restored = network(images, head)
        assert restored.shape == (2, 3, 6 * scale, 10 * scale)
        torch.testing.assert_close(restored, network(enlarge(images, scale)))
    assert torch.equal(network(images), network(images, "restore"))


@torch.no_grad()
def test_images_of_a_batch_stay_apart(network):
    images = torch.rand(3, 3, 9, 13)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone)


def test_an_unknown_head_is_named(network):
    with pytest.raises(PetlirError, match="did you mean 'enlarged_x4'"):
        network(torch.rand(1, 3, 8, 8), "enlarged_4")


@pytest.mark.parametrize(
    ("scale", "head"), [(1, "restore"), (2, "enlarged_x2"), (3, "enlarged_x3"), (4, "enlarged_x4")]
)
def test_a_task_with_a_scale_gets_the_enlarged_head(network, scale, head):
    assert network.head_for(Task("some", "some", GaussianNoise(1), ("y",), {}, scale=scale)) == head


def test_one_set_of_weights_serves_all_heads(network):
    everything = {id(parameter) for parameter in network.parameters()}
    assert all({id(parameter) for parameter in network.tunable(head)} == everything for head in network.heads)
    assert Cascade().supports(network) == f"{network.name} has a single head"


@torch.no_grad()
def test_blocks_and_their_projections_come_in_the_order_of_computation(network):
    blocks, called = list(network.blocks()), []
    for block in blocks:
        for site in (block.site, *block.projections()):
            site.module.register_forward_pre_hook(lambda *_, where=(block.name, site.name): called.append(where))
    network(torch.rand(1, 3, 16, 16))
    assert called == [(block.name, site.name) for block in blocks for site in (block.site, *block.projections())]


@torch.no_grad()
def test_block_widths_are_those_of_their_features(network):
    widths = []
    for block in network.blocks():
        block.site.module.register_forward_hook(lambda _, inputs, output: widths.append(output.shape[1]))
    network(torch.rand(1, 3, 16, 16))
    assert widths == [block.width for block in network.blocks()]


@pytest.mark.parametrize(("name", "kind"), [("nafnet", "nafnet-nano"), ("restormer", "restormer-nano")])
def test_the_nano_sizes_are_small(name, kind):
    with torch.device("meta"):
        small, full = build(kind), build(name)
    assert sum(p.numel() for p in small.parameters()) <= 800_000 < sum(p.numel() for p in full.parameters())


def test_a_column_says_that_its_input_was_enlarged():
    network = build("nafnet", width=8, encoders=(1, 1), middle=1, decoders=(1, 1))
    assert [network.input_note(head) for head in ("restore", "enlarged_x4")] == ["", "input enlarged ×4 bicubically"]
