"""Test contributions against closed forms on a toy network, the change in error that they explain, and shares."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from petlir.benchmark.analysis.contribution import (
    faig,
    gradient_squared,
    kinds_of,
    per_group,
    per_layer,
    places_of,
    saliency,
)
from petlir.benchmark.analysis.shares import stated
from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import SMALL
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.published import orderings

START, END = {"first": 0.7, "second": -0.4}, {"first": 1.3, "second": 0.9}
INPUTS, WANTED = (0.5, 1.5), (0.8, -0.6)


class Toy(nn.Module):
    """A network of two layers of one weight each, with dropout between them and a weight that no head uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor(START["first"], dtype=torch.float64))
        self.second = nn.Parameter(torch.tensor(START["second"], dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        output: Tensor = self.dropout(images * self.first) * self.second
        return output


def tensors(numbers: dict[str, float]) -> dict[str, Tensor]:
    return {name: torch.tensor(number, dtype=torch.float64) for name, number in numbers.items()}


def toy_batches() -> list[tuple[Tensor, Tensor]]:
    shape = (2, 1, 1, 1)
    degraded, clean = (torch.tensor(values, dtype=torch.float64).view(shape) for values in (INPUTS, WANTED))
    return [(degraded, clean)]


def slopes(first: float, second: float, x: float, y: float) -> dict[str, float]:
    """Return the hand-derived derivatives of (second · first · x - y)² with respect to both weights."""
    error = 2 * (first * second * x - y)
    return {"first": error * second * x, "second": error * first * x}


def toy_integral(name: str, x: float, y: float) -> float:
    """Integrate along the path; four Gauss points are exact, since the integrand is a polynomial of degree three."""
    points, weights = np.polynomial.legendre.leggauss(4)
    change = {key: END[key] - START[key] for key in START}
    at = [{key: START[key] + (p + 1) / 2 * change[key] for key in START} for p in points]
    return float(
        sum(w / 2 * slopes(**here, x=x, y=y)[name] * change[name] for w, here in zip(weights, at, strict=True))
    )


@pytest.mark.parametrize("signed", [False, True])
def test_faig_is_the_integral_image_by_image(signed):
    found = faig(Toy(), tensors(END), tensors(START), toy_batches(), "any", steps=1000, signed=signed)
    for name in START:
        parts = [toy_integral(name, x, y) for x, y in zip(INPUTS, WANTED, strict=True)]
        expected = sum(parts) if signed else sum(map(abs, parts))
        assert abs(sum(parts)) < sum(map(abs, parts)), "the images pull apart, so that the order of abs shows"
        assert found[name].item() == pytest.approx(expected / len(parts), rel=1e-5)


@pytest.mark.parametrize(
    ("measure", "of"), [(gradient_squared, lambda slope, w: slope**2), (saliency, lambda slope, w: abs(slope * w))]
)
def test_proxies_are_what_their_names_say(measure, of):
    weights = tensors(START) | {"unused": torch.ones(2).double()}
    found = measure(Toy(), weights, toy_batches(), "any")
    for name, value in START.items():
        parts = [of(slopes(**START, x=x, y=y)[name], value) for x, y in zip(INPUTS, WANTED, strict=True)]
        assert found[name].item() == pytest.approx(np.mean(parts), rel=1e-12)
    assert found["unused"].tolist() == [0, 0]


def test_the_network_stays_as_it_was():
    network = Toy().train()
    network.dropout.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    faig(network, tensors(END), tensors(START), toy_batches(), "any")
    assert (network.training, network.dropout.training) == (True, False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_without_images_there_is_no_mean():
    with pytest.raises(PetlirError, match="no images were given"):
        faig(Toy(), tensors(END), tensors(START), [], "any")


def trained(network: nn.Module, head: str, images: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Return the weights after full fine-tuning on these few images."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.l1_loss(network(images, head), clean))
        optimizer.step()
    return {name: p.detach().clone() for name, p in network.named_parameters()}


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=[pytest.mark.long] if name in ("restormer", "dat") else []) for name in SMALL],
)
def test_signed_contributions_sum_to_the_change_of_the_error(family):
    """The sum equals, within 0.1 %, the difference in error between the frozen and the fully fine-tuned network.

    Forty steps are needed because the error is not smooth.
    """
    network, numbers = SMALL[family]().eval().double(), torch.Generator().manual_seed(0)
    head = min(network.heads, key=lambda name: network.heads[name])
    side = network.window or 16
    images, clean = torch.rand(2, 2, 3, side, side, generator=numbers).double()
    baseline = {name: p.detach().clone() for name, p in network.named_parameters()}
    target = trained(network, head, images, clean)

    @torch.no_grad()
    def error(weights: dict[str, Tensor]) -> float:
        restored = torch.func.functional_call(network, weights, (images, head))
        return float((restored - clean).square().sum() / len(images))

    change = error(baseline) - error(target)
    assert change > 0.1 * error(baseline), "a long way"
    found = faig(network, baseline, target, [(images, clean)], head, steps=40, signed=True)
    assert sum(float(values.sum()) for values in found.values()) == pytest.approx(change, rel=1e-3)


def test_means_per_layer_and_group_weigh_every_parameter_alike():
    found = {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([[6.0]]), "c": torch.zeros(5)}
    assert per_layer(found) == {"a": 2, "b": 6, "c": 0}
    assert per_group(found, {"a": "x", "b": "x", "c": "y"}) == pytest.approx({"x": 10 / 3, "y": 0})


def test_kinds_and_places_of_nafnet_are_those_of_its_layout():
    """Counts are those of the official network; Fig. 3 of the paper gives 18 % (encoder, decoder) and 80 % (middle)."""
    with torch.device("meta"):
        network = build("nafnet-32")
    kinds, places = kinds_of(network), places_of(network)
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}

    def size(groups: dict[str, str], *wanted: str) -> int:
        return sum(number for name, number in sizes.items() if groups[name] in wanted)

    assert size(kinds, "norm") == 39_424
    assert size(kinds, "factor") == 19_712
    assert size(kinds, "bias") == 148_835 - 39_424 - 19_712
    total = sum(sizes.values())
    assert size(places, "encoder", "decoder") / total == pytest.approx(0.190, abs=5e-4)
    assert size(places, "middle") / total == pytest.approx(0.762, abs=5e-4)


def test_norms_outside_the_blocks_are_norms():
    kinds = kinds_of(SMALL["edt"]())
    assert {kinds[name] for name in kinds if "norm" in name} == {"norm"}


def test_published_orderings_are_counted_over_tasks():
    """Norms and biases exceed weights on one of two tasks; groups that a network lacks are not mentioned."""
    numbers = {"rain": (3.0, 2.0, 1.0), "noise": (3.0, 0.5, 1.0)}
    rows = [
        {"label": "full-ft", "task": task, "level": "kind", "group": group, "mean": mean, "parameters": 1}
        for task, means in numbers.items()
        for group, mean in zip(("norm", "bias", "weight"), means, strict=True)
    ]
    others = [{**row, "label": "partial", "mean": 9.0} for row in rows if row["group"] == "weight"]
    (said,) = stated([*rows, *others], orderings())
    assert said.startswith(
        "Biases and norms contribute more than convolutions (CoLoRA (Fig. 3)): "
        "tasks on which this holds for full-ft: 1 of 2"
    )
    assert said.endswith("not on noise.")
