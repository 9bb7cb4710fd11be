"""Test DAT against the official network (outputs, gradients, counts, keys) and a transcription of its equations."""

import json
import re
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.dat import DAT, DATConfig
from petlir.benchmark.backbones.dat_attention import ChannelAttention, PositionBias, SpatialAttention
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.contract import examine
from petlir.benchmark.contract.toy_model import SMALL as SMALLEST
from petlir.benchmark.contract.toy_model import ToyTrial
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import adapt
from tests.helpers import official
from tests.helpers.plain_dat import PlainDAT

COUNTS = {
    "dat-light": (553_290, 561_405, 572_766),
    "dat-s": (11_064_419, 11_249_059, 11_212_131),
    "dat": (14_654_339, 14_838_979, 14_802_051),
    "dat-2": (11_064_419, 11_249_059, 11_212_131),
}
"""Numbers of parameters at ×2, ×3 and ×4."""
DERIVED = ("attn_mask_0", "attn_mask_1", "rpe_biases", "relative_position_index")
SMALL = DATConfig(width=32, groups=2, depth=4, attention_heads=4, window=(2, 4))
BIASED = DATConfig(width=96, groups=2, depth=4, attention_heads=4, window=(4, 8), light=False)
"""Configuration wide enough for position biases that are not constant."""


def drawn(config: DATConfig, scale: int = 2) -> DAT:
    """Return a network in which no weight or statistic has its initial value."""
    torch.manual_seed(0)
    network = DAT("dat-small", config, scale).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.get_buffer("running_mean").normal_()
                module.get_buffer("running_var").uniform_(0.5, 2)
    return network


@cache
def published(scale: int = 4) -> DAT:
    network = build("dat-light", scale=scale)
    assert isinstance(network, DAT)
    network.load_official(official.dat_light(scale))
    return network.eval()


@pytest.mark.parametrize("size", ["32x32", "27x41", "64x48"])
def test_golden_outputs_of_the_official_network(shared, size):
    assert official.error(published(), shared, f"dat_light_x4_{size}") <= 2e-5


def test_golden_gradients_of_the_official_network(shared):
    network = published()
    with np.load(shared / "goldens" / "dat_light_x4_gradients.npz") as arrays:
        expected = dict(arrays)
    images, loss = torch.from_numpy(expected.pop("x")), float(expected.pop("loss"))
    found = (network(images) - 0.5).abs().mean()
    assert found.item() == pytest.approx(loss, rel=1e-6)
    parameters = {name: parameter for name, parameter in network.named_parameters() if name in expected}
    gradients = torch.autograd.grad(found, list(parameters.values()), materialize_grads=True)
    assert len(parameters) == len(expected) == 7
    for name, gradient in zip(parameters, gradients, strict=True):
        assert np.abs(gradient.numpy() - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max(), name


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_of_the_official_networks(name):
    found = []
    for scale in (2, 3, 4):
        with without_memory():
            network, named = build(name, scale=scale), build(name if scale == 4 else f"{name}-x{scale}")
        assert network.name == named.name and network.heads == named.heads == {"averaged": 1, f"sr_x{scale}": scale}
        found.append(sum(parameter.numel() for parameter in network.parameters()))
    assert tuple(found) == COUNTS[name]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_official_keys_and_shapes(shared, scale):
    text = (shared / "goldens" / "state_dicts" / f"DAT_light_x{scale}.json").read_text()
    expected = {key: tuple(shape) for key, shape in json.loads(text).items() if not key.endswith(DERIVED)}
    with without_memory():
        network = build("dat-light", scale=scale)
    assert official.own_shapes(network) == expected
    network = published(scale)
    state = official.dat_light(scale)
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.official_state_dict().items())


@pytest.mark.parametrize("config", [SMALL, BIASED], ids=["light", "with position biases"])
@pytest.mark.parametrize("size", [(8, 16), (9, 13), (1, 1)])
def test_outputs_and_gradients_of_a_transcription(config, size):
    """The transcription writes out masks, cyclic shifts and position biases; both pad incomplete windows with zeros."""
    network = drawn(config).double()
    plain, images = PlainDAT(network).double(), torch.rand(2, 3, *size).double()
    outputs = network(images), plain(images)
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-9)
    for output in outputs:
        torch.autograd.backward(output.square().mean())
    theirs = dict(plain.named_parameters())
    for name, parameter in network.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradient, theirs[name].grad, rtol=1e-7, atol=1e-9)


def test_batch_statistics_are_used_in_training_mode():
    network = drawn(SMALL).train()
    plain = PlainDAT(network).train()
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(network(images), plain(images), rtol=1e-5, atol=1e-5)
    theirs = dict(plain.named_buffers())
    for name, buffer in network.named_buffers():
        if name != "mean":
            torch.testing.assert_close(buffer, theirs[name])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("config", [SMALL, BIASED], ids=["direct", "classical"])
def test_a_task_that_keeps_the_size_gets_the_averaged_output(config, scale):
    network, images = drawn(config, scale), torch.rand(2, 3, 5, 7)
    with torch.no_grad():
        averaged, enlarged = network(images, "averaged"), network(images, f"sr_x{scale}")
        assert torch.equal(network(images), enlarged)
    torch.testing.assert_close(averaged, functional.avg_pool2d(enlarged, scale), rtol=0, atol=1e-5)
    weights = {name: parameter.detach() for name, parameter in network.named_parameters()}
    assert torch.equal(torch.func.functional_call(network, weights, (images, "averaged")), averaged)
    assert network.input_note("averaged") == f"×{scale} output averaged over {scale}×{scale} pixels"
    assert network.input_note(f"sr_x{scale}") == ""
    assert network.official_state_dict().keys() == network.state_dict().keys()


def test_the_heads_of_the_tasks():
    with without_memory():
        networks = [build("dat-light", scale=scale) for scale in (2, 3, 4)]
    tasks = find().tasks
    for task in (task for task in tasks.values() if task.scale == 1):
        assert {network.head_for(task) for network in networks} == {"averaged"}
    for name in ("sr_x4", "hybrid_lr4_noise30", "hybrid_lr4_jpeg30"):
        assert networks[2].head_for(tasks[name]) == "sr_x4" and networks[2].applies(tasks[name]) is None
        reason = f"dat-light-x2 has no head for task '{name}' (scale 4); it restores at ×1, ×2"
        assert networks[0].applies(tasks[name]) == reason
        with pytest.raises(PetlirError, match=re.escape(reason)):
            networks[0].head_for(tasks[name])
    assert [networks[scale - 2].head_for(tasks[f"sr_x{scale}"]) for scale in (2, 3)] == ["sr_x2", "sr_x3"]


def test_training_crops_are_whole_windows():
    with without_memory():
        light, small = build("dat-light"), build("dat-s")
    assert [light.patch("sr_x4", side) for side in (16, 32, 48, 64, 100)] == [32, 32, 32, 64, 96]
    assert small.patch("sr_x4", 48) == 48


def test_tunable_is_what_gets_a_gradient():
    for config in (SMALL, BIASED):
        network = drawn(config)
        network(torch.rand(1, 3, 8, 16)).square().sum().backward()
        reached = {parameter for parameter in network.parameters() if parameter.grad is not None}
        assert set(network.tunable(None)) == set(network.tunable("sr_x2")) == reached
    with without_memory():
        light = build("dat-light")
    left = set(light.parameters()) - set(light.tunable(None))
    assert sum(parameter.numel() for parameter in left) == 342


def test_every_site_is_in_the_computation():
    network = drawn(SMALL)
    blocks = list(network.blocks())
    assert [block.name for block in blocks] == [f"group.{group}.{index}" for group in (0, 1) for index in range(4)]
    kinds = [SpatialAttention, ChannelAttention] * 4
    assert [type(block.site.module.get_submodule("attn")) for block in blocks] == kinds
    assert [site.name for site in blocks[1].projections()] == ["qkv", "out", "up", "down"]
    called: list[str] = []
    for block in blocks:
        for site in (*block.norms, *block.projections(), block.site):
            site.module.register_forward_hook(lambda *_, name=f"{block.name} {site.attribute}": called.append(name))
    with torch.no_grad():
        network(torch.rand(1, 3, 8, 8))
    assert len(called) == len(set(called)) == 8 * 7


def test_norms_inside_branches_are_those_of_the_convolutions_and_gates():
    network = drawn(SMALL)
    found = list(network.inner_norms())
    assert [isinstance(norm, nn.BatchNorm2d) for norm in found] == [True, True, True, False] * 8
    biases = {norm for module in network.modules() if isinstance(module, PositionBias) for norm in module.modules()}
    outer = {site.module for block in network.blocks() for site in block.norms}
    outer |= {site.module for site in network.outer_norms()}
    every = {module for module in network.modules() if isinstance(module, nn.LayerNorm | nn.BatchNorm2d)}
    assert set(found) == every - biases - outer


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("width", [32, 96])
def test_prompts_join_the_keys_and_values_of_every_window(shifted, width):
    """A window with a prompt acts like a window with one more token, whose position adds nothing to the logits."""
    torch.manual_seed(0)
    attention = SpatialAttention(width, 4, (2, 4), shifted=shifted)
    features, prompts = torch.randn(1, 8, 8, width), torch.randn(1, 3, width)
    (qkv, joining), seen = (attention.qkv(tokens) for tokens in (features, prompts)), []
    parts = attention.by_heads(joining)[0].permute(1, 2, 0, 3)[1:]
    gathered = attention.attend(qkv, parts)
    q, k, v = (part.reshape(64, 4, -1) for part in qkv.chunk(3, -1))
    more_k, more_v = (part.permute(1, 0, 2) for part in parts)
    for head in range(4):
        sides = (2, 4) if head < 2 else (4, 2)
        moved = [(torch.arange(8) + side // 2 * shifted) // side for side in sides]
        place = (moved[0][:, None] * 10 + moved[1]).flatten()
        allowed = place[:, None] == place
        bias = torch.zeros(64, 64)
        position = attention.attns[head // 2].get_submodule("pos")
        assert isinstance(position, PositionBias)
        if not position.constant:
            where = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0))
            offsets = where[:, None] - where
            bias = position.pos3(position.pos2(position.pos1(position.pos_proj(offsets))))[..., head % 2]
        logits = q[:, head] @ k[:, head].T * (width // 4) ** -0.5 + bias
        extra = q[:, head] @ more_k[:, head].T * (width // 4) ** -0.5
        weights = torch.cat([logits.masked_fill(~allowed, -torch.inf), extra], 1).softmax(1)
        seen.append(weights @ torch.cat([v[:, head], more_v[:, head]]))
    torch.testing.assert_close(gathered.flatten(1, 2)[0], torch.cat(seen, 1), rtol=1e-4, atol=1e-5)


def test_a_file_for_another_scale_is_refused_in_one_line():
    two, four = drawn(SMALL, 2), drawn(SMALL, 4)
    with pytest.raises(PetlirError, match=r"weights for dat-small: they are for ×2, expected ×4$"):
        four.load_official(two.official_state_dict())
    with without_memory():
        networks = {scale: build("dat", scale=scale) for scale in (2, 3, 4)}
    for scale in (2, 3):
        with pytest.raises(PetlirError, match=f"they are for ×{scale}, expected ×4"):
            networks[4].load_official(networks[scale].state_dict())
    state = four.official_state_dict()
    del state["norm.bias"]
    with pytest.raises(PetlirError, match=r"missing norm\.bias"):
        four.load_official(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 5}, "dat-light has no scale 5; valid: 2, 3, 4"),
        ({"scal": 2}, "unknown option of backbone dat-light 'scal'; did you mean 'scale'"),
    ],
)
def test_faulty_options_are_named(options, message):
    with pytest.raises(PetlirError, match=message):
        build("dat-light", **options)


@pytest.mark.parametrize("sizes", [{"attention_heads": 3}, {"width": 30}, {"window": (8, 12)}, {"window": (3, 6)}])
def test_faulty_sizes_are_refused(sizes):
    with pytest.raises(PetlirError, match="DAT: expected"):
        DATConfig(**sizes)


@pytest.mark.parametrize("head", ["sr_x2", "averaged"])
def test_an_image_is_restored_the_same_in_any_batch(head):
    network, images = drawn(SMALL), torch.rand(3, 3, 9, 6)
    with torch.no_grad():
        alone = torch.cat([network(image[None], head) for image in images])
        torch.testing.assert_close(network(images, head), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["lora", "repadapter", "vpt", "norm-tune"])
def test_methods_that_meet_what_other_networks_have_not(name):
    """DAT has a gate inside the mlp, fused projections, batch norms, token-free blocks and ineffective parameters."""
    trial = ToyTrial(find().methods[name](), SMALLEST["dat"])
    assert trial.obstacle is None
    points = ("gradients reach all", "frozen weights stay", "saves and loads", "merges exactly")
    assert [finding for finding in (examine(point, trial) for point in points) if not finding.passed] == []


@pytest.mark.parametrize(("name", "count"), [("lora", 18 * 4 * (60 + 180)), ("vpt", 9 * 8 * 60)])
def test_sizes_of_methods_on_the_published_network(name, count):
    """LoRA at rank 4 updates the fused projection of every block; only attention within windows accepts prompts."""
    with without_memory():
        adapted = adapt(build("dat-light"), find().methods[name](), "sr_x4", 0)
    assert sum(parameter.numel() for parameter in adapted.trainable().values()) == count


def test_cascade_gives_its_reason():
    reason = find().methods["cascade"]().supports(drawn(SMALL))
    assert reason == "dat-small has a single head"
