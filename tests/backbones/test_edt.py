"""Test EDT against the official network (keys, shapes, counts, outputs), and its windows against dense attention."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.edt import EDT
from petlir.benchmark.backbones.windows import SwinBlock, WindowAttention, join, mirrored, shift_mask, split
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from tests.helpers import official

SR = ("sr_x2", "sr_x3", "sr_x4")
COUNTS = [
    ("edt-t", ("sr_x2",), 916_924),
    ("edt-t", ("sr_x3",), 919_099),
    ("edt-t", ("sr_x4",), 922_144),
    ("edt-t", SR, 1_137_537),
    ("edt-s", ("sr_x2",), 4_230_323),
    ("edt-b", ("sr_x2",), 11_479_355),
    ("edt-b", ("sr_x3",), 11_663_995),
    ("edt-b", ("sr_x4",), 11_627_067),
    ("edt-b", SR, 14_576_937),
    ("edt-b", ("sr_x2", "sr_x3", "denoise_15"), 14_453_033),
    ("edt-b", ("denoise_15",), 11_503_163),
    ("edt-b", ("denoise_15", "denoise_25", "denoise_50"), 14_316_009),
    ("edt-b", ("derain_light",), 11_503_163),
    ("edt-b", ("derain_light", "derain_heavy"), 12_909_586),
    ("edt-l", ("sr_x2",), 39_927_395),
]
OFFICIAL = {
    "SRx4_EDTT_Div2kFlickr2K": ("edt-t", ("sr_x4",)),
    "SRx2_EDTS_Div2kFlickr2K": ("edt-s", ("sr_x2",)),
    "SRx4_EDTB_Div2kFlickr2K": ("edt-b", ("sr_x4",)),
    "SRx2x3x4_EDTB_ImageNet200K": ("edt-b", SR),
    "DNg15_EDTB_D4": ("edt-b", ("denoise_15",)),
    "DRls_EDTB_ImageNet200K": ("edt-b", ("derain_light",)),
    "SRx2_EDTL_Div2kFlickr2K": ("edt-l", ("sr_x2",)),
}
"""Official configuration → name and heads of the same network in petlir."""
GOLDENS = [
    ("SRx4_EDTT_Div2kFlickr2K", [("x", "y0")]),
    ("SRx4_EDTB_Div2kFlickr2K", [("x", "y0"), ("x_48x72", "y_48x72"), ("x_50x41", "y_50x41_padded_cropped")]),
]


def small(heads=("sr_x2", "denoise_50"), **sizes) -> EDT:
    """Return a network of two blocks, one of them shifted, with windows of 2×4 and 4×2."""
    torch.manual_seed(0)
    network = build(
        "edt", heads=heads, features=2, width=8, stages=1, depth=2, attention_heads=2, window=(2, 4), **sizes
    )
    assert isinstance(network, EDT)
    return network.eval()


@pytest.mark.parametrize(("configuration", "pairs"), GOLDENS)
def test_golden_outputs_of_the_official_network(shared, configuration, pairs):
    """The weights are a function of the official keys; the file of official weights also contains masks."""
    archive, (name, heads) = f"edt_{configuration}", OFFICIAL[configuration]
    network = build(name, heads=heads).eval()
    official.fill(network, shared, official.shapes(shared, archive))
    for images, expected in pairs:
        assert official.error(network, shared, archive, images, expected) <= 1e-4


@pytest.mark.parametrize("configuration", OFFICIAL)
def test_official_keys_and_shapes(shared, configuration):
    name, heads = OFFICIAL[configuration]
    with torch.device("meta"):
        network = build(name, heads=heads)
    published = official.shapes(shared, f"edt_{configuration}")
    expected = {key: shape for key, shape in published.items() if "attn_mask" not in key}
    assert official.own_shapes(network) == expected


@pytest.mark.parametrize(("name", "heads", "count"), COUNTS)
def test_parameter_counts_of_the_official_networks(name, heads, count):
    with torch.device("meta"):
        network = build(name, heads=heads)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert list(network.heads) == list(heads)


def test_official_weights_go_round():
    one, other = small(), small()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_official(one.official_state_dict())
    for name, tensor in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_missing_and_unexpected_official_keys_are_named_and_nothing_is_taken():
    network = small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = {key: torch.zeros_like(tensor) for key, tensor in network.official_state_dict().items()}
    state["body.strange"] = state.pop("body.norm.bias")
    with pytest.raises(PetlirError, match=r"missing body\.norm\.bias; unexpected body\.strange"):
        network.load_official(state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def dense(query, key, value, heads: int, allowed):
    """Compute, by definition, attention in which each pixel attends to all pixels that `allowed` permits."""
    count, height, width, channels = value.shape
    q, k, v = (part.reshape(count, -1, heads, channels // heads) for part in (query, key, value))
    logits = torch.einsum("nihc,njhc->nhij", q, k) / (channels // heads) ** 0.5
    weights = logits.masked_fill(~allowed, -torch.inf).softmax(-1)
    return torch.einsum("nhij,njhc->nihc", weights, v).reshape(count, height, width, channels)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    window=st.sampled_from([(2, 4), (4, 2), (3, 5), (1, 6)]),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shifted=st.booleans(),
)
def test_windows_attend_to_themselves_alone(seed, window, grid, shifted):
    """Shifted windows start half a window before the image; at the border, they are cut off, not wrapped."""
    torch.manual_seed(seed)
    sides = [side * times for side, times in zip(window, grid, strict=True)]
    query, key, value = torch.randn(3, 2, *sides, 8).double()
    attention = WindowAttention(8, 2, window, shifted=shifted).double()
    for parameter in attention.lepe.parameters():
        nn.init.zeros_(parameter)  # LePE crosses the seam of a roll, as in the goldens
    rows, columns = (
        (torch.arange(side) - part // 2 * shifted).div(part, rounding_mode="floor")
        for side, part in zip(sides, window, strict=True)
    )
    place = (rows[:, None] * 100 + columns).flatten()
    expected = dense(query, key, value, 2, place[:, None] == place)
    with torch.no_grad():
        torch.testing.assert_close(attention(query, key, value), expected)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 3), st.integers(1, 3))
)
def test_splitting_into_windows_and_joining_them(count, window, grid):
    sides = (window[0] * grid[0], window[1] * grid[1])
    features = torch.randn(count, *sides, 2)
    windows = split(features, window)
    first = features[0, : window[0], : window[1]].flatten(0, 1)
    assert torch.equal(windows[0], first)
    assert torch.equal(join(windows, window, sides), features)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 24))
def test_images_are_continued_by_their_flip(height, width, multiple):
    images = torch.randn(1, 2, height, width)
    more = [(0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple)]
    expected = np.pad(images.numpy(), more, mode="symmetric")
    assert np.array_equal(mirrored(images, multiple).numpy(), expected)


@pytest.mark.parametrize(
    ("head", "size", "seen"),
    [
        ("sr_x2", (8, 4), (8, 4)),
        ("sr_x2", (9, 3), (12, 4)),
        ("denoise_50", (16, 32), (4, 8)),
        ("denoise_50", (1, 17), (4, 8)),
    ],
)
def test_the_body_sees_whole_windows_and_none_to_spare(head, size, seen):
    network = small()
    sizes: list[tuple[int, ...]] = []
    network.body.register_forward_hook(lambda body, inputs, output: sizes.append(tuple(output.shape[-2:])))
    scale = network.heads[head]
    with torch.no_grad():
        assert network(torch.rand(2, 3, *size), head).shape == (2, 3, size[0] * scale, size[1] * scale)
    assert sizes == [seen]


def test_what_windows_are_multiples_of():
    with torch.device("meta"):
        network = build("edt-t", heads=("sr_x4", "denoise_25"))
    assert [network.multiple("sr_x4"), network.multiple("denoise_25")] == [24, 96]


@pytest.mark.parametrize("head", ["sr_x2", "denoise_50"])
def test_an_image_is_restored_the_same_in_any_batch(head):
    network, images = small(), torch.rand(3, 3, 10, 11)
    with torch.no_grad():
        alone = torch.cat([network(image[None], head) for image in images])
        torch.testing.assert_close(network(images, head), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["sr_x2", "denoise_50"])
def test_a_silent_tail_leaves_the_image_enlarged(head):
    """The network computes a residual that is added to its bilinearly enlarged input, and does not clip the sum."""
    network, images = small(), 3 * torch.rand(1, 3, 16, 16) - 1
    end = list(network.tail_of(head))[-2:]
    with torch.no_grad():
        for parameter in end:
            parameter.zero_()
        restored = network(images, head)
    enlarged = nn.UpsamplingBilinear2d(scale_factor=1)(images) if head == "denoise_50" else doubled(images)
    torch.testing.assert_close(restored, enlarged, rtol=0, atol=1e-6)


def doubled(images):
    """Return the images at twice the size: new pixels lie ¼ from one neighbour and ¾ from the other; borders repeat."""
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    for axis in (2, 3):
        low, middle, high = (np.take(padded, np.arange(16 + 2)[i : i + 16], axis) for i in range(3))
        both = np.stack([0.25 * low + 0.75 * middle, 0.75 * middle + 0.25 * high], axis + 1)
        size = list(middle.shape)
        size[axis] = 32
        padded = both.reshape(size)
    return torch.from_numpy(padded)


@pytest.mark.parametrize("head", ["sr_x2", "denoise_50"])
def test_tunable_is_what_gets_a_gradient(head):
    network = small()
    network(torch.rand(1, 3, 16, 16), head).square().sum().backward()
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    tunable = set(network.tunable(head))
    assert {name for name, parameter in network.named_parameters() if parameter in tunable} == reached
    assert set(network.tunable(None)) == set(network.parameters())


def test_every_site_stands_in_the_computation():
    network, images = small(), torch.rand(1, 3, 16, 16)
    blocks = list(network.blocks())
    assert [block.name for block in blocks] == ["stage.0.0", "stage.0.1"]
    assert [site.name for site in blocks[1].projections()] == ["query", "key", "value", "out", "up", "down"]
    called: list[str] = []
    for block in blocks:
        for site in (*block.norms, *block.projections(), block.site):
            module, name = site.module, f"{block.name} {site.name} {site.attribute}"
            module.register_forward_hook(lambda module, inputs, output, name=name: called.append(name))
    with torch.no_grad():
        network(images, "sr_x2")
    assert len(called) == len(set(called)) == 2 * 9


def test_doors_stand_at_both_branches():
    """Modules parallel to and after a branch see the block's own features."""
    network, images = small(), torch.rand(1, 3, 16, 16)
    before = network(images, "sr_x2")
    for block in network.blocks():
        for branch in block.branches:
            silent = nn.Linear(block.width, block.width)
            nn.init.zeros_(silent.weight)
            nn.init.zeros_(silent.bias)
            branch.parallel(silent)
            branch.after(nn.Identity())
            assert torch.equal(network(images, "sr_x2"), before)
            nn.init.ones_(silent.bias)
            changed = network(images, "sr_x2")
            assert not torch.equal(changed, before)
            before = changed


def test_features_are_seen_as_a_map():
    block = next(iter(small().blocks()))
    features = torch.randn(2, 3, 5, block.width)
    image = block.layout.to_map(features)
    assert torch.equal(image[1, :, 2, 4], features[1, 2, 4])
    assert torch.equal(block.layout.from_map(image), features)


def test_masks_are_computed_once_a_size_and_serve_training_after_inference():
    network, images = small(), torch.rand(1, 3, 20, 28)
    shift_mask.cache_clear()
    with torch.inference_mode():
        network(images, "sr_x2")
    computed = shift_mask.cache_info().misses
    network(images, "sr_x2").sum().backward()
    assert computed == shift_mask.cache_info().misses == 2  # horizontal and vertical


def test_stochastic_depth_drops_whole_branches_and_only_in_training():
    block = SwinBlock(8, 2, (2, 4), 16, drop_path=0.25)
    torch.manual_seed(0)
    kept = block.train().kept(torch.ones(4000, 2, 2, 8))
    rates, counts = kept.flatten(1).unique(dim=0, return_counts=True)
    torch.testing.assert_close(rates[:, 0], torch.tensor([0, 1 / 0.75]))
    assert len(rates) == 2 and abs(counts[0] / 4000 - 0.25) < 0.03
    assert torch.equal(block.eval().kept(kept), kept)
    rates = [each.drop_path for each in small(drop_path=0.1).body.modules() if isinstance(each, SwinBlock)]
    assert rates == [0, 0.1]


def test_the_heads_of_the_tasks():
    with torch.device("meta"):
        network, single = build("edt-nano"), build("edt-b")
    tasks = find().tasks
    expected = {
        "denoise_30": "denoise_25",
        **dict.fromkeys(("denoise_50", "low_light", "sidd"), "denoise_50"),
        **dict.fromkeys(("derain_light", "derain_heavy"), "derain_heavy"),
        **dict.fromkeys(("sr_x4", "hybrid_lr4_noise30", "hybrid_lr4_jpeg30"), "sr_x4"),
    }
    assert {name: network.head_for(tasks[name]) for name in expected} == expected
    with pytest.raises(PetlirError, match="no head for task 'denoise_50'"):
        single.head_for(tasks["denoise_50"])


def test_the_small_network_is_small():
    with torch.device("meta"):
        network = build("edt-nano")
    assert sum(parameter.numel() for parameter in network.parameters()) <= 800_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": ("denoise_30",)}, "unknown head of edt 'denoise_30'; did you mean 'denoise_50'"),
        ({"upsampler": "pixelshufle"}, "unknown upsampler of EDT 'pixelshufle'; did you mean 'pixelshuffle'"),
        ({"width": 100}, "width 100 is not a multiple of 2 × 6 heads"),
        ({"window": (6,)}, "a window has two sides"),
        ({"depth": 0}, "at least 1"),
    ],
)
def test_faulty_options_are_named(options, message):
    with pytest.raises(PetlirError, match=message):
        build("edt", **options)
