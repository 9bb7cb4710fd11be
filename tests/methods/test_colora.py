"""Test CoLoRA: its budget, how contributions become ranks, and the fully fine-tuned network that it requires."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from petlir.benchmark import grid
from petlir.benchmark.backbone import Site
from petlir.benchmark.backbones import build
from petlir.benchmark.cells.own_images import restorer
from petlir.benchmark.contract.toy_model import SMALL, ToyTrial, alive, tiny
from petlir.benchmark.costs import count
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method, PriorResults
from petlir.benchmark.records.files import ADAPTER
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.store import Store
from petlir.benchmark.training.adaptation import Adapted, adapt
from petlir.methods.colora import CoLoRA, Projection, apportioned, projections
from petlir.methods.full_ft import FullFineTuning
from petlir.methods.lora import LowRank
from tests.helpers.engine import PLUGIN, results
from tests.helpers.networks import ConvNet
from tests.helpers.samples import finished_in

MOVED = "body.decoder.layers.0.multihead_attn.value.weight"


def ranks(network: nn.Module) -> dict[str, int]:
    """Return the rank of every update by its name in the network."""
    return {name: len(module.down) for name, module in network.named_modules() if isinstance(module, LowRank)}


def moved(trial: ToyTrial, names: tuple[str, ...] = ()) -> PriorResults:
    """Return results as if full fine-tuning had moved the named tensors ten times as far as the others."""
    numbers = torch.Generator().manual_seed(0)
    network = adapt(trial.network(), FullFineTuning(), trial.head, 0)
    tuned: dict[str, Tensor] = {}
    for name, tensor in network.state().items():
        far = 0.3 if name in names else 0.03
        tuned[name] = tensor + far * tensor.std(correction=0) * torch.randn(tensor.shape, generator=numbers)
    return PriorResults((tuned,), lambda task, index: (trial.images, trial.clean), "any", trial.head)


def adapted(trial: ToyTrial, method: CoLoRA, names: tuple[str, ...] = ()) -> Adapted:
    return adapt(trial.network(), method, trial.head, 1, moved(trial, names))


@pytest.mark.parametrize(
    ("family", "contribution"),
    [("ipt", "faig"), ("edt", "gradient"), ("nafnet", "faig"), ("restormer", "saliency")],
)
def test_seven_percent_are_tuned(family, contribution):
    method = CoLoRA(contribution=contribution, images=1)
    size = count(adapted(ToyTrial(method, SMALL[family]), method).backbone)
    backbone = count(SMALL[family]()).total
    assert size.trainable / backbone == pytest.approx(0.07, rel=0.05)


@pytest.mark.parametrize("backbone", ["nafnet-32", "restormer"])
def test_seven_percent_of_the_published_networks(backbone):
    with torch.device("meta"):
        network = build(backbone)
        total = count(network).total
        tuned = count(adapt(network, CoLoRA(), "restore", 0).backbone).trainable
    assert tuned / total == pytest.approx(0.07, rel=1e-3)


@pytest.mark.parametrize("contribution", ["faig", "gradient", "saliency", "uniform"])
def test_no_update_has_more_parameters_than_its_layer(contribution):
    """A few layers contribute by far the most; without a limit, their ranks would be too high."""
    method, builder = CoLoRA(contribution=contribution, images=1), partial(alive, partial(build, "nafnet-nano"))
    widest = ("middle_blks.0.conv1.weight", "middle_blks.0.conv3.weight", "middle_blks.0.conv4.weight")
    network = adapted(ToyTrial(method, builder), method, widest).backbone
    updates = [module for module in network.modules() if isinstance(module, LowRank)]
    assert updates
    assert all(module.up.numel() + module.down.numel() <= module.base.weight.numel() for module in updates)
    total = count(builder()).total
    assert count(network).trainable / total == pytest.approx(0.07, rel=0.08)


def test_a_network_of_few_projections_gets_the_highest_ranks():
    """The layers outside the blocks are so large that 7 % of all parameters exceed the limit of all updates."""
    network = ConvNet(4)
    network.first.register_parameter("more", nn.Parameter(torch.zeros(100, 100)))
    adapt(network, CoLoRA(), "restore", 0)
    assert list(ranks(network).values()) == [4 * 4 // 8, 4 * 4 // 8, 4 * 8 // 12, 4 * 8 // 12] * 2


def test_a_grid_of_equal_size_meets_it():
    def trainable(method: Method) -> int:
        with torch.device("meta"):
            return count(adapt(build("ipt-nano"), method, "denoise_50", 0).backbone).trainable

    assert trainable(grid.solve(CoLoRA(), 20_000, trainable)) == pytest.approx(20_000, rel=0.01)


def test_the_control_has_one_rank_everywhere():
    with torch.device("meta"):
        network = build("nafnet-32")
        layers, total = projections(network), count(network).total
        found = adapt(network, CoLoRA(contribution="uniform"), "restore", 0).backbone
    assert len(ranks(found)) == len(layers) == 5 * 36
    assert len(set(ranks(found).values())) == 1
    assert count(found).trainable / total == pytest.approx(0.07, rel=0.05)


def test_a_projection_that_contributes_more_gets_more():
    trial = ToyTrial(CoLoRA(beta=0.1, images=1), tiny)
    layer = MOVED.removesuffix(".weight")
    found = {
        alpha: ranks(adapted(trial, CoLoRA(budget=24, beta=0.1, alpha=alpha, images=1), (MOVED,)).backbone)[layer]
        for alpha in (0.0, 0.5, 1.0)
    }
    assert found[0] < found[0.5] < found[1]


@pytest.mark.parametrize("method", [CoLoRA(beta=1, alpha=3, images=1), CoLoRA(alpha=0, images=1)])
def test_without_sharpness_or_all_floor_each_gets_its_equal_share(method):
    trial = ToyTrial(method, tiny)
    equal = ranks(adapt(trial.network(), method, trial.head, 1).backbone)
    assert ranks(adapted(trial, method, (MOVED,)).backbone) == equal
    assert ranks(adapted(trial, CoLoRA(images=1), (MOVED,)).backbone) != equal


def test_only_vectors_and_updates_are_trained():
    trial = ToyTrial(CoLoRA(), SMALL["nafnet"])
    names = adapt(trial.network(), CoLoRA(), trial.head, 1).trainable()
    endings = {name.rpartition(".")[2] for name in names}
    assert endings == {"up", "down", "weight", "bias", "beta", "gamma"}
    assert all("norm" in name for name in names if name.endswith(".weight"))
    own = dict(trial.network().named_parameters())
    expected = {name for name in own if name.endswith((".bias", ".beta", ".gamma")) or ".norm" in name}
    assert {name.replace(".base.", ".") for name in names if not name.endswith(("up", "down"))} == expected


def shaped(outputs: int, inputs: int) -> Projection:
    owner = nn.Module()
    with torch.device("meta"):
        return Projection("", Site("", owner, ""), nn.Linear(inputs, outputs))


LAYERS = st.tuples(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 100))


@settings(max_examples=50, deadline=None)
@given(st.lists(LAYERS, min_size=1, max_size=8), st.floats(0, 1))
def test_ranks_are_rounded_shares_of_the_budget(drawn, part):
    layers, shares = [shaped(outputs, inputs) for outputs, inputs, _ in drawn], [share for *_, share in drawn]
    budget = round(part * sum(layer.cap * layer.cost for layer in layers))
    found = apportioned(layers, shares, budget)
    assert abs(sum(r * layer.cost for r, layer in zip(found, layers, strict=True)) - budget) <= (
        max(layer.cost for layer in layers) / 2
    )
    least = max((r - 0.5) / share for r, share in zip(found, shares, strict=True))
    most = min(
        ((r + 0.5) / share for r, share, layer in zip(found, shares, layers, strict=True) if r < layer.cap),
        default=float("inf"),
    )
    assert least <= most, "no κ rounds all shares to these ranks"


def test_an_impossible_budget_is_not_applicable():
    most = sum(36 * 36 // 72 * 72 for _ in range(12)) + 4 * (36 * 72 // 108 * 108)
    assert f"the budget is 108,000 parameters, but the highest ranks take {most:,} only" in str(
        CoLoRA(budget=1000).supports(tiny())
    )
    assert CoLoRA(budget=most // 108).supports(tiny()) is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"contribution": "fiag"}, "did you mean 'faig'"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"beta": 1.5}, "beta is 1.5"),
        ({"images": 0}, "images is 0"),
    ],
)
def test_an_impossible_option_is_one_clear_line(options, text):
    with pytest.raises(PetlirError, match=text):
        CoLoRA(**options)


def test_a_network_that_has_not_moved_gives_no_ranks():
    trial = ToyTrial(CoLoRA(images=1), tiny)
    still = adapt(trial.network(), FullFineTuning(), trial.head, 0).state()
    prior = PriorResults((still,), lambda task, index: (trial.images, trial.clean), "any", trial.head)
    with pytest.raises(PetlirError, match=r"contribute 0\.0 on average"):
        adapt(trial.network(), CoLoRA(images=1), trial.head, 1, prior)


def test_full_fine_tuning_comes_first_and_what_is_stored_keeps_its_ranks(lab, tmp_path):
    assert lab.run(tmp_path, methods="colora[images=1],full-ft").summary() == "2 cells: 2 done; processed 2"
    records = {record.cell.method: record for record in finished_in(tmp_path)}
    assert records["colora"].costs.required_seconds == records["full-ft"].costs.training_seconds
    (folder,) = tmp_path.glob("cells/*/*/colora*")
    model, stored = restorer(folder, "cpu", [PLUGIN]), load_file(folder / ADAPTER)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in model.adapted.state().items())
    found = ranks(model.network)
    assert found == {name.removesuffix(".down"): len(t) for name, t in stored.items() if name.endswith(".down")}
    with torch.device("meta"):
        unknowing = adapt(build("ipt-nano"), CoLoRA(), "denoise_30", 0).backbone
    assert found != ranks(unknowing)


def test_its_key_changes_with_that_of_full_fine_tuning(lab):
    planner = Planner(lab.request(methods="colora,full-ft"))
    rates = Rates(planner, Store(Path("nowhere")))
    colora, full = (rates.planned(cell) for cell in planner.cells)
    assert [need.key for need in colora.needs] == [full.key]
    other = planner.plan(colora.cell, (planner.plan(full.cell.at(3e-4)),))
    assert {name for name in colora.parts if colora.parts[name] != other.parts[name]} == {"needs"}


def test_without_full_fine_tuning_it_says_so(lab, tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise ValueError("no memory")

    monkeypatch.setattr(FullFineTuning, "adapt", broken)
    lab.run(tmp_path, methods="colora")
    found = results(tmp_path)["colora tiny"]
    assert (found["state"], found["reason"]) == (
        "failed",
        "it requires ipt-nano · full-ft · tiny · seed 0, which has no result",
    )


def test_proxies_and_the_control_require_nothing(lab):
    planner = Planner(lab.request(methods="colora[contribution=faig,gradient,saliency,uniform]"))
    assert [len(planner.required(cell)) for cell in planner.cells] == [1, 0, 0, 0]
