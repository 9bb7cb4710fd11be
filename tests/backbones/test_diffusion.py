"""Test latent diffusion: published counts, strict keys, diffusers' forward passes, linear autoencoder, and LoRAs."""

import sys
from importlib.util import find_spec

import pytest
import torch

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.diffusion import SMALL, LatentDiffusion
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.contract import examine, findings
from petlir.benchmark.contract.backbone_points import BACKBONE_POINTS, BackboneTrial
from petlir.benchmark.contract.toy_model import ToyTrial, alive
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.bundled import PHOTOGRAPHS
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.procedural import leaves
from petlir.benchmark.method import PriorResults
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.pretraining.autoencoder import reconstructing
from petlir.benchmark.pretraining.command import pretrain_backbone
from petlir.benchmark.restoration.restore import restore, to_batch
from petlir.benchmark.training.adaptation import adapt, folded
from petlir.benchmark.weights import loading
from petlir.methods.adapter import Adapter
from petlir.methods.bitfit import BitFit
from petlir.methods.lora import LoRA
from petlir.methods.uir_lora import UIRLoRA
from tests.helpers.engine import draw, save

# every test process collects this file, and importing diffusers takes seconds
pytestmark = pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed")
LORA = LoRA(rank=2, sites="all")
NAMES = "one+two"


def small() -> LatentDiffusion:
    torch.manual_seed(0)
    return LatentDiffusion("latent-diffusion", SMALL)


@pytest.fixture(scope="module")
def trial() -> BackboneTrial:
    return BackboneTrial(small)


def test_without_diffusers_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(PetlirError, match=r"petlir\[diffusion\]"):
        build("diffusion-nano")
    assert build("nafnet-nano").heads["restore"] == 1


def test_the_published_network_has_its_published_counts():
    with without_memory():
        network = build("sd-turbo")
    counts = [sum(p.numel() for p in network.get_submodule(part).parameters()) for part in ("unet", "autoencoder")]
    assert counts == [865_910_724, 83_653_863]
    assert network.official_state_dict().keys() == network.state_dict().keys() - {f"skips.{i}.weight" for i in range(4)}


def test_the_nano_is_small():
    with without_memory():
        network = build("diffusion-nano")
    assert sum(parameter.numel() for parameter in network.parameters()) <= 4e6


@pytest.mark.parametrize("point", BACKBONE_POINTS)
def test_the_backbone_contract(trial, point):
    result = examine(point, trial)
    assert result.passed, result.detail


@pytest.mark.parametrize("method", [LORA, Adapter()], ids=lambda method: method.name)
def test_methods_hold_their_contract(method):
    own = {"unfreezes what it says"}  # the skips are trained along
    faults = {
        found.name: found.detail for found in findings(ToyTrial(method, lambda: alive(small))) if not found.passed
    }
    assert faults.keys() <= own, faults


@torch.no_grad()
def test_the_passes_are_those_of_diffusers():
    network = small().eval()
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    for parameter in network.linear.parameters():  # type: ignore[union-attr]
        parameter.zero_()
    codes, _ = network.encode(images)
    torch.testing.assert_close(codes, network.autoencoder.encode(images).latent_dist.mode())  # type: ignore[operator]
    decoded = network.autoencoder.decode(codes).sample  # type: ignore[operator]
    torch.testing.assert_close(network.decode(codes, None), decoded)
    noise = network.unet(codes, network.config.time_step, network.prompt.expand(2, -1, -1)).sample
    signal = network.config.signal
    torch.testing.assert_close(network.denoised(codes) * signal**0.5 + (1 - signal) ** 0.5 * noise, codes)


@torch.no_grad()
def test_the_signal_at_a_time_step_is_the_schedulers():
    import diffusers

    scheduler = diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    assert SMALL.signal == pytest.approx(float(scheduler.alphas_cumprod[SMALL.time_step]), rel=1e-5)


@torch.no_grad()
def test_the_linear_start_keeps_photographs_above_33_db():
    """The autoencoder is fitted to dead-leaves images only; its PSNR on photographs must reach the published 33 dB."""
    network = build("diffusion-nano").eval()
    assert isinstance(network, LatentDiffusion)
    network.start_linear(torch.cat([to_batch(leaves(seed, 96)) for seed in range(12)]))
    for entry in image_set("photographs").index(None, 1):
        image = to_batch(entry.clean())[..., :128, :128]
        codes, features = network.encode(2 * image - 1)
        error = (((network.decode(codes, features) + 1) / 2).clamp(0, 1) - image).square().mean()
        assert -10 * error.log10() >= 33, entry.name
    assert len(PHOTOGRAPHS) == 4


@torch.no_grad()
def test_the_residual_keeps_the_image_where_the_code_does_not_change(monkeypatch):
    network = build("diffusion-nano", output="residual").eval()
    monkeypatch.setattr(network, "denoised", lambda latents: latents)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(network(images), images, atol=1e-5, rtol=0)


def test_the_autoencoder_is_trained_first_and_the_card_states_its_limit(tmp_path):
    for number in range(2):
        save(tmp_path / "photos" / f"{number}.png", draw([number], 140, 150))
    plugins = Plugins({}, {"denoise_30": find().task("denoise_30")}, {"small": small}, {})
    lines = list(pretrain_backbone(plugins, "prod", "small", tmp_path, images=tmp_path / "photos", steps=2))
    assert lines[1] == "training the autoencoder of small on clean images, then the whole network"
    first = torch.load(tmp_path / "small.autoencoder.checkpoint", weights_only=True)["network"]
    start = small().state_dict()
    changed = {name.split(".")[0] for name, tensor in first.items() if not torch.equal(tensor, start[name])}
    assert changed == {"autoencoder", "linear"}
    network = small()
    card = loading.load(network, tmp_path)
    assert set(card.scores) == {"photographs denoise_30", "photographs reconstruction"}
    image = to_batch(image_set("photographs").index(None, 1)[0].clean())[..., :16, :16]
    with torch.no_grad(), reconstructing(network):
        codes, _ = network.encode(2 * image - 1)
        torch.testing.assert_close(network(image), (network.decode(codes, None) + 1) / 2)
    assert network.config.output == "direct"


def trained(seed: int):
    adapted = adapt(small(), LORA, "restore", seed)
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.trainable().values():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=numbers))
    return adapted


def test_skips_are_trained_along_and_counted():
    adapted = trained(1)
    assert {"skips.0.weight", "skips.1.weight"} <= adapted.trainable().keys() & adapted.state().keys()
    with folded(adapted.backbone) as whole:
        assert whole


@torch.no_grad()
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_one_weight_is_that_lora_and_none_the_frozen_network(weights):
    method = UIRLoRA(degradations=NAMES, rank=2, sites="all", weights="uniform")
    prior = PriorResults((trained(1).state(), trained(2).state()), task="one", head="restore")
    network = adapt(small(), method, "restore", 0, prior).backbone.eval()
    network.get_submodule("composer.weigh").get_buffer("weights").copy_(torch.tensor(weights))
    images = torch.rand(1, 3, 16, 16)
    if any(weights):  # two networks lie differently in memory, and kernels round by alignment
        expected = trained(weights.index(1.0) + 1).backbone.eval()
        torch.testing.assert_close(network(images, "restore"), expected(images, "restore"), rtol=0, atol=1e-5)
    else:
        assert torch.equal(network(images, "restore"), network.forward(images, "restore"))
    assert torch.equal(restore(network, images), network(images, "restore"))


def test_a_method_without_a_place_says_so():
    assert BitFit().supports(small()) is None
    with pytest.raises(PetlirError, match="unknown output of a diffusion network 'residul'; did you mean 'residual'"):
        build("diffusion-nano", output="residul")
    with pytest.raises(PetlirError, match="takes 16×16 only, got 20×12"):
        small()(torch.rand(1, 3, 12, 20))
