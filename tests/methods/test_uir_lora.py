"""Test mixed LoRAs against single LoRAs and dense updates computed by hand, and their routing on real degradations."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.ipt import IPT, IPTConfig
from petlir.benchmark.cells import train
from petlir.benchmark.cells.own_images import restorer
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.degradation import Degradation
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.degradations.low_light import LowLight
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.procedural import leaves
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.layers import routing
from petlir.benchmark.layers.classifier import SURE, ExpertClassifier
from petlir.benchmark.layers.degradation_statistics import DegradationStatistics
from petlir.benchmark.layers.routing import BlockStatistics, ClipEmbedding, Router, share
from petlir.benchmark.method import PriorResults
from petlir.benchmark.plugins import find
from petlir.benchmark.restoration.restore import restore, restore_image, to_batch
from petlir.benchmark.store import Store
from petlir.benchmark.training.adaptation import adapt
from petlir.benchmark.training.loop import Diverged
from petlir.benchmark.weights.loading import load
from petlir.methods.lora import LoRA, LowRank
from petlir.methods.uir_composition import Composer, ExpertSequence, Fixed, Mixed, Mixture
from petlir.methods.uir_controls import best_sequence
from petlir.methods.uir_lora import UIRLoRA
from petlir.methods.uir_routing import DARK, NONE, WEAK_SHARE, RouterStudy
from tests.helpers.engine import PLUGIN
from tests.helpers.samples import finished_in

HEAD = "denoise_30"
RANK = 2
NAMES = "one+two+three"


def single(seed: int):
    """Adapt the small network with LoRA and replace its zeros by random weights."""
    adapted = adapt(tiny(), LoRA(rank=RANK), HEAD, seed)
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.trainable().values():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=numbers))
    return adapted


def batch(task: str, index: int) -> tuple[Tensor, Tensor]:
    """Return a batch of noise whose brightness depends on the task, as degraded and as clean images."""
    level = NAMES.split("+").index(task) / 3
    images = level + 0.2 * torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(index))
    return images, images


def mixed(validation=None, **options):
    """Adapt the small network with the three LoRAs."""
    method = UIRLoRA(**{"degradations": NAMES, "rank": RANK, **options})
    adapters = tuple(single(seed).state() for seed in range(3))
    prior = PriorResults(
        adapters, batch, "", HEAD, None, validation or (lambda: pairs_of("one")), pairs_of, (HEAD,) * 3
    )
    return adapt(tiny(), method, HEAD, 0, prior)


def pairs_of(task: str) -> list[tuple[Tensor, Tensor]]:
    """Return the images of a batch as pairs of single images."""
    return [(degraded[None], clean[None]) for degraded, clean in zip(*batch(task, 0), strict=True)]


def weighted(weights: list[float]) -> Backbone:
    """Return the small network with the three LoRAs, combined with these weights for every image."""
    network: Backbone = mixed(weights="uniform").backbone
    network.get_submodule("composer.weigh").get_buffer("weights").copy_(torch.tensor(weights))
    return network


@torch.no_grad()
def output(network: Backbone, images: Tensor) -> Tensor:
    restored: Tensor = network.eval()(images, HEAD)
    return restored


@pytest.mark.parametrize("index", range(3))
def test_one_weight_alone_is_that_lora_to_the_bit(index):
    images = torch.rand(3, 3, 12, 12)
    weights = [0.0, 0.0, 0.0]
    weights[index] = 1.0
    assert torch.equal(output(weighted(weights), images), output(single(index).backbone, images))


def test_no_weight_is_the_frozen_network_to_the_bit():
    images = torch.rand(3, 3, 12, 12)
    assert torch.equal(output(weighted([0.0, 0.0, 0.0]), images), output(tiny(), images))
    assert torch.equal(output(adapt(tiny(), UIRLoRA(), HEAD, 0).backbone, images), output(tiny(), images))


def test_mixing_is_adding_the_updates_to_the_weights():
    weights, images, dense = [0.5, 0.2, 0.3], torch.rand(3, 3, 12, 12), tiny()
    with torch.no_grad():
        for seed, weight in enumerate(weights):
            for name, module in single(seed).backbone.named_modules():
                if isinstance(module, LowRank):
                    dense.get_submodule(name).get_parameter("weight").add_(weight * module.up @ module.down)
    expected = output(dense, images)
    assert (expected - output(tiny(), images)).abs().max() > 1e-2 * expected.abs().max()
    assert (output(weighted(weights), images) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("convolution", [False, True])
def test_every_image_has_its_own_weights_in_all_of_its_windows(convolution):
    base: nn.Linear | nn.Conv2d = nn.Conv2d(4, 6, 1) if convolution else nn.Linear(4, 6)
    features = torch.randn(6, 4, 3, 5) if convolution else torch.randn(6, 5, 4)
    weights = torch.tensor([[0.9, 0.1], [0.0, 0.4]])
    module = Mixed(LowRank(base, 3, 0.5), 2, Mixture(weights))
    module.down.normal_()
    module.up.normal_()
    dense = copy.deepcopy(base)
    with torch.no_grad():
        found = module(features)
        for image, rows in enumerate((slice(0, 3), slice(3, 6))):
            update = sum(
                w * up.flatten(1) @ down.flatten(1)
                for w, up, down in zip(weights[image], module.up, module.down, strict=True)
            )
            dense.weight.copy_(base.weight + 0.5 * update.view_as(base.weight))
            torch.testing.assert_close(found[rows], dense(features[rows]))


SIMILARITIES = st.lists(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4, unique=True), min_size=1)


@given(SIMILARITIES, st.integers(1, 6), st.floats(0.01, 10))
def test_shares_are_a_softmax_over_the_most_similar(rows, top, temperature):
    similarities = torch.tensor(rows)
    weights = share(similarities, top, temperature)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(rows)))
    hidden = similarities < similarities.sort(descending=True).values[:, [min(top, 4) - 1]]
    expected = (similarities / temperature).masked_fill(hidden, -torch.inf).softmax(1)
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize(("top", "temperature"), [(1, 1.0), (4, 1e-6)])
def test_the_most_similar_takes_all(top, temperature):
    similarities = torch.tensor([[0.1, 0.2, -0.3, 0.0], [0.9, -0.2, 0.8, 0.1]])
    assert share(similarities, top, temperature).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


@pytest.fixture(scope="module")
def nano() -> Backbone:
    network = find().build("ipt-nano")
    load(network)
    return network.eval().requires_grad_(False)


def windows(degradation, seeds: range) -> Tensor:
    """Return four 48×48 windows of each procedural image."""
    images = torch.cat([to_batch(degradation.degrade(leaves(seed, 96), seed)) for seed in seeds])
    return images.unfold(2, 48, 48).unfold(3, 48, 48).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 48, 48)


def test_degradations_are_told_apart(nano):
    """The prototypes come from other images than those routed; by chance, a third would be routed correctly."""
    kinds = (RainStreaks("heavy"), GaussianNoise(50), LowLight())
    describe = BlockStatistics(UIRLoRA().reads(nano))
    router = Router(describe, torch.zeros(4, describe.width(nano)), top=1, temperature=0.1)
    router.study(nano, ([windows(kind, range(6))] for kind in (*kinds, Degradation())))
    found = torch.stack([router(nano, windows(kind, range(100, 106))).mean(0) for kind in kinds])
    assert (found.diagonal() >= 0.75).all(), found


def test_what_is_described_are_the_frozen_features_of_one_head(nano):
    """The expected features are the tokens that enter the body's `mlp_head` if the head is `derain`."""
    images = torch.rand(2, 3, 48, 48)
    inputs: list[Tensor] = []
    hook = nano.get_submodule("body.mlp_head").register_forward_hook(lambda module, args, out: inputs.append(args[0]))
    nano(images, "derain")
    hook.remove()
    found = BlockStatistics("derain")(nano, images)
    tokens = inputs[0]
    torch.testing.assert_close(found, torch.cat([tokens.mean(1), tokens.std(1)], 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("heads", "head"),
    [
        ({"sr_x2": 2, "derain": 1, "denoise_30": 1, "denoise_50": 1}, "derain"),
        ({"sr_x2": 2, "denoise_50": 1, "denoise_30": 1}, "denoise_50"),
        ({"denoise_30": 1, "sr_x2": 2}, "denoise_30"),
        ({"sr_x2": 2}, "sr_x2"),
    ],
)
def test_the_router_reads_one_head(heads, head):
    assert UIRLoRA().reads(IPT("ipt", IPTConfig(4, 1, 2), heads)) == head


def test_images_are_routed_by_themselves_and_nothing_is_left_behind():
    adapted = mixed(top=1, router="features")
    network = adapted.backbone
    composer = network.get_submodule("composer")
    assert isinstance(composer, Composer)
    images = torch.cat([batch(name, 7)[0] for name in NAMES.split("+")])
    weights = composer.weigh(network, images)
    assert weights.unique(dim=0).shape[0] > 1, "the images are all routed alike"
    together = output(network, images)
    alone = torch.cat([output(network, image[None]) for image in images.flip(0)]).flip(0)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5 * float(together.abs().max()))
    assert composer.mixture.weights is None
    with pytest.raises(PetlirError):
        network(torch.rand(1, 3, 12, 12), "derain")
    assert composer.mixture.weights is None
    assert torch.equal(output(network, images), together)


def test_each_image_gets_the_output_of_the_lora_it_is_routed_to():
    network = mixed(top=1, router="features").backbone
    images = torch.cat([batch(name, 7)[0] for name in NAMES.split("+")])
    router = network.get_submodule("composer.weigh")
    assert isinstance(router, Router)
    weights = router(network, images)
    networks = [*(single(seed).backbone for seed in range(3)), tiny()]
    places = torch.cat([weights, 1 - weights.sum(1, keepdim=True)], 1).argmax(1)
    expected = torch.stack([output(networks[at], image[None])[0] for at, image in zip(places, images, strict=True)])
    torch.testing.assert_close(output(network, images), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_copy_weighs_for_itself():
    network, images = weighted([1.0, 0.0, 0.0]), torch.rand(2, 3, 12, 12)
    before = output(network, images)
    twin = copy.deepcopy(network)
    network.get_submodule("composer.weigh").get_buffer("weights").zero_()
    assert torch.equal(output(twin, images), before)
    assert torch.equal(output(network, images), output(tiny(), images))


def restored_by(weights: list[float], count: int = 2, size: tuple[int, int] = (15, 20)):
    """Return pairs whose clean images are restored from the degraded ones by the network with these weights."""
    network = weighted(weights)
    images = [torch.rand(1, 3, *size) for _ in range(count)]
    return [(image, restore(network, image, HEAD)) for image in images]


def weights_of(adapted) -> Tensor:
    found = adapted.backbone.get_submodule("composer.weigh")
    assert isinstance(found, Fixed)
    return found.weights


def test_the_best_single_lora_is_found_on_validation_images():
    pairs = restored_by([0.0, 0.0, 1.0])
    assert weights_of(mixed(lambda: pairs, weights="best")).tolist() == [0, 0, 1]


def test_the_oracle_finds_the_mixture_that_made_the_validation_images():
    truth = torch.tensor([0.6, 0.3, 0.1])
    pairs = restored_by(truth.tolist())
    found = weights_of(mixed(lambda: pairs, weights="oracle"))
    assert 0.9 < found.sum() <= 1 + 1e-6  # the rest is the frozen network's
    assert (found - truth).abs().max() < 0.1
    assert (found - truth).abs().max() < (1 / 3 - truth).abs().max() / 2


def test_the_oracle_is_no_worse_than_the_best():
    pairs = restored_by([1.0, 0.0, 0.0])
    assert weights_of(mixed(lambda: pairs, weights="oracle")).tolist() == [1, 0, 0]


def test_it_stores_what_makes_it_again():
    adapted, images = mixed(router="features"), torch.rand(3, 3, 12, 12)
    again = adapt(tiny(), UIRLoRA(NAMES, RANK, router="features"), HEAD, 1, PriorResults(stored=adapted.state()))
    again.load(adapted.state())
    assert torch.equal(output(again.backbone, images), output(adapted.backbone, images))
    loras = sum(tensor.nbytes for tensor in single(0).state().values())
    prototypes = 4 * 2 * 36 * 4  # means and deviations of 4·3² channels
    assert sum(tensor.nbytes for tensor in adapted.state().values()) == 3 * loras + prototypes
    assert not adapted.trainable()


def test_cells_end_to_end(lab, tmp_path):
    asked = "uir-lora[degradations=tiny+tiny_x2; rank=2; weights=router,best]"
    assert lab.run(tmp_path, methods=asked).summary() == "4 cells: 4 done; processed 4"
    records = {record.cell.label + record.cell.task: record for record in finished_in(tmp_path)}
    loras = [records[f"lora[rank=2]{task}"] for task in ("tiny", "tiny_x2")]
    own = [record for label, record in records.items() if label.startswith("uir-lora")]
    for record in own:
        assert record.costs.trainable == 0
        assert record.costs.stored_bytes > sum(lora.costs.stored_bytes for lora in loras)
        seconds = sum(lora.costs.training_seconds for lora in loras)
        assert record.costs.required_seconds == pytest.approx(seconds)
        folder = Store(tmp_path).cell_folder(record.cell, record.key)
        model = restorer(folder, "cpu", [PLUGIN])
        pair = lab.context().tests("tiny", "demo")[0]
        stored = read_image(folder / "restored" / pair.set / f"{pair.name}.png")
        assert (restore_image(model.network, pair.degraded, model.heads) == stored).all()


def test_without_one_of_its_loras_it_says_which(lab, tmp_path, monkeypatch):
    fit = train.fit

    def fit_but_one(model, *arguments, **more):
        if model.cell.task == "leaky":
            raise Diverged("the loss is nan")
        return fit(model, *arguments, **more)

    monkeypatch.setattr(train, "fit", fit_but_one)
    lab.run(tmp_path, methods="uir-lora[degradations=tiny+leaky; rank=2]", allow_overlap=True)
    records = {record.cell.method: record for record in Store(tmp_path).records()}
    assert records["uir-lora"].state == "failed"
    assert records["uir-lora"].reason == "it requires ipt-nano · lora[rank=2] · leaky · seed 0, which has no result"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degradations": "sr_x4+sr_x4"}, "different tasks joined by"),
        ({"degradations": "sr_x4+"}, "different tasks joined by"),
        ({"weights": "routr"}, "unknown weights of uir-lora 'routr'; did you mean 'router'"),
        ({"router": "clap"}, "did you mean 'clip'"),
        ({"rank": 0}, "rank is 0"),
        ({"top": 0}, "top is 0"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"top": 1}, "top and temperature are options of router=features"),
    ],
)
def test_faulty_options_are_named(options, message):
    with pytest.raises(PetlirError, match=message):
        UIRLoRA(**options)


def test_it_needs_what_lora_needs():
    network = find().build("nafnet-nano")
    assert UIRLoRA().supports(network) == LoRA().supports(network)
    assert UIRLoRA().supports(tiny()) is None


def test_clip_routes_where_its_weights_are_at_hand(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(routing, "CLIP", str(tmp_path))
    with pytest.raises(PetlirError, match="needs the weights of") as caught:
        mixed(router="clip")
    assert "\n" not in str(caught.value)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(**size, patch_size=32, projection_dim=512)
    encoder = transformers.CLIPVisionModelWithProjection(config).eval()
    encoder.save_pretrained(tmp_path)
    images = torch.rand(2, 3, 224, 224)
    mean, deviation = (
        torch.tensor(getattr(transformers.image_utils, f"OPENAI_CLIP_{name}")) for name in ("MEAN", "STD")
    )
    with torch.no_grad():
        expected = encoder((images - mean[:, None, None]) / deviation[:, None, None]).image_embeds
    torch.testing.assert_close(ClipEmbedding()(tiny(), images).detach(), expected, rtol=1e-4, atol=1e-5)
    adapted = mixed(router="clip")
    assert output(adapted.backbone, batch("two", 0)[0]).isfinite().all()
    assert adapted.state().keys() == mixed(router="features").state().keys()


def test_a_whole_image_is_described_once_before_its_windows(monkeypatch):
    network = mixed().backbone.eval()
    router = network.get_submodule("composer.weigh")
    assert isinstance(router, ExpertClassifier)
    seen = []

    def second(backbone, images):
        seen.append(images.shape)
        return torch.eye(3)[1:2]

    monkeypatch.setattr(router, "forward", second)
    images = torch.rand(2, 3, 20, 30)
    found = restore(network, images, HEAD)
    assert seen == [(1, 3, 20, 30)] * 2
    torch.testing.assert_close(found, restore(single(1).backbone.eval(), images, HEAD))


def test_only_experts_of_the_heads_scale_are_eligible():
    network, method = find().build("nafnet-nano"), UIRLoRA(degradations=NAMES, rank=RANK, sites="all")
    prior = PriorResults(stored={}, head="enlarged_x2", heads=("restore", "enlarged_x2", "restore"))
    router = adapt(network, method, "enlarged_x2", 0, prior).backbone.get_submodule("composer.weigh")
    assert isinstance(router, ExpertClassifier)
    assert router.eligible == (False, True, False)


def test_the_router_knows_each_degradation_and_none():
    """The small network is used with images of real degradations, and with the lowest threshold."""
    kinds = {"derain_heavy": RainStreaks("heavy"), "denoise_50": GaussianNoise(50), "low_light": LowLight()}
    clean = [leaves(seed, 96) for seed in range(12)]

    def images(task: str):
        for seed, image in enumerate(clean):
            yield to_batch(kinds[task].degrade(image, seed)), to_batch(image)

    router = ExpertClassifier(describe := DegradationStatistics(), describe.width(tiny()), (True, True, True))
    torch.manual_seed(0)
    study = RouterStudy(router, tiny(), list(kinds), 1, PriorResults(images=images, validation=list))
    study.fit()
    others = [leaves(seed, 96) for seed in range(100, 106)]
    for place, kind in enumerate([*kinds.values(), Degradation(), Jpeg(10), NONE[DARK]]):
        found = torch.cat([router(tiny(), to_batch(kind.degrade(image, 7))) for image in others])
        right = found[:, place] if place < 3 else 1 - found.sum(1)
        assert right.mean() >= 5 / 6, kind
    study.calibrate(lambda weights, degraded, clean: 0.0)
    torch.testing.assert_close(router.threshold, torch.full((3,), SURE))


@pytest.mark.parametrize(("sigma", "scale", "expected"), [(5, 1, WEAK_SHARE), (50, 1, 1.0), (5, 2, WEAK_SHARE)])
def test_an_expert_for_a_weak_degradation_counts_more(sigma, scale, expected):
    """White noise of standard deviation s has a PSNR of 20 log10(255 / s) dB: 34 for 5, 14 for 50."""
    clean = [np.full((96, 96, 3), 128, np.uint8)] * 2

    def images(task: str):
        for seed, image in enumerate(clean):
            small = image[: 96 // scale, : 96 // scale]
            yield to_batch(GaussianNoise(sigma).degrade(small, seed)), to_batch(image)

    router = ExpertClassifier(describe := DegradationStatistics(), describe.width(tiny()), (True,))
    study = RouterStudy(router, tiny(), ["expert"], scale, PriorResults(images=images))
    assert study.importance("expert") == expected


def test_the_threshold_bounds_the_loss():
    router = ExpertClassifier(describe := DegradationStatistics(), describe.width(tiny()), (True,))
    for weight in router.weights:
        weight.zero_()
    router.weights[-1].copy_(torch.tensor([2.0, 0.0]))  # every image gets the expert, by a probability of 0.88
    pairs = [(to_batch(leaves(seed, 40)),) * 2 for seed in range(2)]
    study = RouterStudy(router, tiny(), ["denoise_50"], 1, PriorResults(validation=lambda: pairs))
    study.calibrate(lambda weights, degraded, clean: 0.04)
    assert router.threshold == pytest.approx(SURE)
    study.calibrate(lambda weights, degraded, clean: 0.06)
    assert router.threshold > 0.88
    assert not router(tiny(), pairs[0][0]).any()


@pytest.mark.parametrize(
    ("tasks", "scale", "left_out"),
    [
        (["denoise_50"], 1, set()),
        (["sidd", "low_light"], 1, {"sidd", "low_light_noise"}),
        (["sr_x4"], 4, {"clean", "dark"}),
    ],
)
def test_none_leaves_out_what_belongs_to_an_expert(tasks, scale, left_out):
    router = ExpertClassifier(describe := DegradationStatistics(), describe.width(tiny()), (True,) * len(tasks))
    study = RouterStudy(router, tiny(), tasks, scale, PriorResults())
    assert NONE.keys() - study.none.keys() == left_out


def test_the_best_sequence_is_found_among_all():
    """Experts halve the values, add a constant or double the width; two of them in sequence give the clean image."""
    steps = {0: lambda x: x / 2, 1: lambda x: x + 0.25, 2: lambda x: x.repeat_interleave(2, -1), 3: lambda x: x}
    run = lambda place, image: steps[place](image)  # noqa: E731
    image = torch.rand(1, 3, 4, 4) / 2
    same, larger = [(image, image / 2 + 0.25)], [(image, (image / 2).repeat_interleave(2, -1))]
    assert best_sequence(run, [1, 1, 2], 1, same) == (0, 1)
    assert best_sequence(run, [1, 1, 2], 1, [(image, image)]) == (3,)
    steps[3] = lambda x: 1 - x.repeat_interleave(2, -1)  # the frozen network enlarges, and badly
    assert best_sequence(run, [1, 1, 2], 2, larger) in {(0, 2), (2, 0)}


def test_a_sequence_restores_as_its_loras_one_after_another():
    images = torch.rand(1, 3, 15, 20)
    first, second = (single(seed).backbone.eval() for seed in (2, 0))
    between = restore(first, images, HEAD).clamp(0, 1)
    pairs = [(images, restore(second, between, HEAD))]
    adapted = mixed(lambda: pairs, weights="sequence")
    sequence = adapted.backbone.get_submodule("composer.weigh")
    assert isinstance(sequence, ExpertSequence) and sequence.order.tolist() == [2, 0, -1, -1]
    torch.testing.assert_close(restore(adapted.backbone.eval(), images, HEAD), pairs[0][1])
    window = images[..., :12, :12]
    expected = output(second, output(first, window).clamp(0, 1))
    torch.testing.assert_close(output(adapted.backbone, window), expected)
