"""Test one network with several weights: random ones, and weights that the user labels."""

import pytest
import torch

from petlir.benchmark.cells.context import Context
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.weights.cards import SHIPPED, card
from petlir.benchmark.weights.loading import digest, load
from petlir.benchmark.weights.sources import sources
from tests.helpers.samples import finished_in

NAME = "restormer-nano"


def test_random_weights_are_always_the_same_and_leave_the_generator_alone():
    plugins = find()
    torch.manual_seed(5)
    one = plugins.build(f"{NAME}:none")
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))
    torch.manual_seed(6)
    other, trained = plugins.build(f"{NAME}:none"), plugins.build(NAME)
    assert load(one).sha256 == load(other).sha256 == digest(f"{NAME}:none") != load(trained).sha256
    weights, pretrained = one.state_dict(), trained.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in other.state_dict().items())
    assert weights.keys() == pretrained.keys()
    assert not any(torch.equal(value, pretrained[key]) for key, value in weights.items() if value.ndim > 3)


def test_what_was_never_trained_has_seen_nothing():
    plugins = find()
    found = load(plugins.build(f"{NAME}:none"))
    assert {found.transfer(task, "demo") for task in plugins.tasks.values()} == {"unseen"}
    assert "seen" in {card(NAME).transfer(task, "demo") for task in plugins.tasks.values()}


def test_both_stand_in_one_grid(lab, tmp_path):
    lab.run(tmp_path, backbones=f"{NAME},{NAME}:none", methods="frozen,lora[sites=all]")
    records = {(r.cell.backbone, r.cell.method): r for r in finished_in(tmp_path)}
    assert len(records) == 4 == len({r.key for r in records.values()})
    assert {r.state for r in records.values()} == {"done"}
    assert len({r.digests.weights for r in records.values()}) == 2


def test_weights_under_a_label_are_other_cells_of_the_same_network(lab):
    given = sources([f"{NAME}:mine={SHIPPED / NAME}.safetensors"], {NAME})
    request = lab.request(backbones=f"{NAME},{NAME}:mine", methods="frozen")
    labelled = Planner(type(request)(**{**vars(request), "context": lab.context(weights=given)}))
    plain, mine = (labelled.plan(cell).parts for cell in labelled.cells)
    assert {name for name in plain if plain[name] != mine[name]} == {"backbone"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{NAME}:none=a.pth", "denotes random weights; expected another label"),
        ("restormer-nan:x=a.pth", "unknown backbone in --weights 'restormer-nan:x'; did you mean 'restormer-nano'"),
    ],
)
def test_what_is_no_label_is_one_line(text, said):
    with pytest.raises(PetlirError, match=said):
        sources([text], {NAME})


def test_a_label_without_weights_names_what_there_is():
    assert f"{NAME}:none" in Context().backbones
    with pytest.raises(PetlirError, match=rf"no weights are shipped for backbone '{NAME}:mine'"):
        load(find().build(f"{NAME}:mine"))
