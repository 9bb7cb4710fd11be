"""Test sites, hooks and heads, through which methods access a backbone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from petlir.benchmark.backbone import AdapterHooks, OnMap, Site, load_strictly
from petlir.benchmark.backbones.ipt import IPT, IPTConfig, TokenGrid
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.task import Task

SEED = st.integers(0, 2**31 - 1)


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(SEED, st.integers(1, 3), st.integers(1, 6), st.integers(1, 5))
def test_a_token_grid_goes_there_and_back(seed, batch, side, channels):
    tokens, grid = numbers(seed, batch, side**2, channels), TokenGrid(side)
    image = grid.to_map(tokens)
    assert image.shape == (batch, channels, side, side)
    assert torch.equal(grid.from_map(image), tokens)
    for place in range(side**2):
        assert torch.equal(image[:, :, place // side, place % side], tokens[:, place])


def test_tokens_are_patches_in_reading_order():
    """The position of a token on the map is the position of its 3×3 patch in the image."""
    image = torch.arange(36.0).view(1, 1, 6, 6)
    tokens = nn.functional.unfold(image, 3, stride=3).transpose(1, 2)
    corners = TokenGrid(2).to_map(tokens)[0, 0]
    assert torch.equal(corners, image[0, 0, ::3, ::3])


@settings(max_examples=30, deadline=None)
@given(SEED, st.lists(st.sampled_from(["beside", "input", "behind"]), max_size=5))
def test_doors_compute_their_formula(seed, plan):
    torch.manual_seed(seed)
    hooks, norm, branch = AdapterHooks(), nn.LayerNorm(4), nn.Linear(4, 4)
    modules = [(where, nn.Linear(4, 4)) for where in plan]
    lists = {"beside": hooks.beside, "input": hooks.beside_input, "behind": hooks.behind}
    for where, module in modules:
        lists[where].append(module)
    features = numbers(seed, 2, 3, 4)
    expected = branch(norm(features))
    expected = expected + sum(module(norm(features)) for where, module in modules if where == "beside")
    expected = expected + sum(module(features) for where, module in modules if where == "input")
    for where, module in modules:
        if where == "behind":
            expected = module(expected)
    torch.testing.assert_close(hooks(branch, norm, features), expected)


def test_doors_have_no_keys_of_their_own():
    assert AdapterHooks().state_dict() == {}


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
def test_a_site_holds_what_was_put_there_last(path):
    owner = nn.Module()
    place = owner
    for name in path:
        child = nn.Module()
        place.add_module(name, child)
        place = child
    site = Site("query", owner, ".".join(path))
    assert site.module is place
    wrapped = nn.Sequential(site.module)
    site.replace(wrapped)
    assert site.module is wrapped
    assert wrapped[0] is place


def test_replacing_a_site_changes_the_network_at_once():
    network, images = tiny(), torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        before = network(images, "denoise_30")
        site = next(network.blocks()).mlp.sites[-1]
        site.replace(nn.Sequential(site.module, nn.Identity()))
        assert torch.equal(network(images, "denoise_30"), before)
        site.replace(nn.Sequential(site.module, nn.ReLU()))
        assert not torch.equal(network(images, "denoise_30"), before)


def test_on_map_shows_a_module_the_map():
    grid, convolution = TokenGrid(4), nn.Conv2d(5, 5, 3, padding=1)
    tokens = torch.randn(2, 16, 5)
    expected = grid.from_map(convolution(grid.to_map(tokens)))
    assert torch.equal(OnMap(convolution, grid)(tokens), expected)


def test_an_unknown_branch_is_named():
    with pytest.raises(PetlirError, match="did you mean 'mixer'"):
        next(tiny().blocks()).branch("mixr")


def test_missing_unexpected_and_misshapen_keys_are_named():
    state = {"weight": torch.zeros(2, 2), "extra": torch.zeros(1)}
    with pytest.raises(PetlirError) as caught:
        load_strictly(nn.Linear(3, 2), state, "weights for x")
    for part in ("weights for x", "missing bias", "unexpected extra", "weight is (2, 2), expected (2, 3)"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refused_state_changes_nothing():
    layer = nn.Linear(3, 2)
    before = layer.weight.clone()
    with pytest.raises(PetlirError):
        load_strictly(layer, {"weight": torch.zeros(2, 3)}, "weights")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize(
    ("task", "scale", "head"),
    [
        ("sr_x2", 2, "sr_x2"),
        ("sr_x3", 3, "sr_x3"),
        ("hybrid_lr4_noise30", 4, "sr_x4"),
        ("hybrid_lr4_jpeg30", 4, "sr_x4"),
        ("derain_light", 1, "derain"),
        ("derain_heavy", 1, "derain"),
        ("denoise_30", 1, "denoise_30"),
        ("low_light", 1, "denoise_50"),
        ("sidd", 1, "denoise_50"),
    ],
)
def test_each_task_has_its_head(task, scale, head):
    """As in AdaptIR's code: hybrids use sr_x4, rain uses derain, and low light and camera noise use denoise_50."""
    with torch.device("meta"):
        network = IPT(config=IPTConfig(features=4, layers=1, attention_heads=2))
    assert network.head_for(Task(task, task, GaussianNoise(1), ("y",), {}, scale=scale)) == head


def test_a_task_that_no_head_serves_is_one_line():
    with pytest.raises(PetlirError, match=r"no head for task 'x8' \(scale 8\)"):
        tiny().head_for(Task("x8", "x8", GaussianNoise(1), ("y",), {}, scale=8))


def test_a_head_must_be_named_where_there_are_several():
    with pytest.raises(PetlirError, match="denoise_30"):
        tiny()(torch.rand(1, 3, 12, 12), "denoise_3")
    with pytest.raises(PetlirError, match="unknown head"):
        tiny()(torch.rand(1, 3, 12, 12))
