"""Shipped weights: what is damaged, missing or another network's is named in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmark import weights
from benchmark.errors import PetlirError
from benchmark.plugins import find
from benchmark.trial import tiny
from benchmark.weights import Card, card, load, save

NAME = "ipt-tiny"
CARD = Card("", ("sr_x4",), {"sr_x3": "sr_x4"}, "leaves", {"steps": 3}, "CC0-1.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights of a tiny network, and their card."""
    network = tiny()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.25)
    sha256 = save(network.state_dict(), tmp_path / f"{NAME}.safetensors")
    replace(CARD, sha256=sha256).write(tmp_path / f"{NAME}.json")
    return tmp_path


def test_what_is_saved_is_loaded(folder):
    network = tiny()
    found = load(network, folder)
    assert found == replace(CARD, sha256=found.sha256) == card(NAME, folder)
    stored = load_file(folder / f"{NAME}.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())
    assert sorted(path.name for path in folder.iterdir()) == [f"{NAME}.json", f"{NAME}.safetensors"]


def corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [corrupt, Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-100]), lambda path: path.write_bytes(b"")],
    ids=["one bit", "missing", "cut off", "empty"],
)
def test_a_damaged_file_is_refused_before_it_is_used(folder, harm):
    path = folder / f"{NAME}.safetensors"
    harm(path)
    network = tiny()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(PetlirError) as caught:
        load(network, folder)
    assert str(caught.value).startswith(f"weight file {path} is damaged or not the shipped one: sha256 ")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_missing_card_is_named(tmp_path):
    with pytest.raises(
        PetlirError, match=r"^no weights are shipped for backbone 'ipt-tiny'; expected ipt-tiny.json in"
    ):
        card(NAME, tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"sha256": "a", "pretrained_on": [], "more": 1}'])
def test_a_damaged_card_is_named(tmp_path, text):
    (tmp_path / f"{NAME}.json").write_text(text)
    with pytest.raises(PetlirError, match=r"ipt-tiny.json is no card of weights: "):
        card(NAME, tmp_path)


def test_weights_of_another_network_are_refused(folder):
    state = load_file(folder / f"{NAME}.safetensors")
    state["stray"] = state.pop(sorted(state)[0])
    sha256 = save(state, folder / f"{NAME}.safetensors")
    replace(CARD, sha256=sha256).write(folder / f"{NAME}.json")
    with pytest.raises(PetlirError, match=r"missing .*unexpected stray"):
        load(tiny(), folder)


@pytest.mark.parametrize(("task", "transfer"), [("sr_x4", "seen"), ("sr_x3", "related"), ("sidd", "unseen")])
def test_a_card_says_what_was_seen(task, transfer):
    assert CARD.transfer(find().task(task)) == transfer


def test_shipped_weights_are_whole_small_and_described():
    plugins = find()
    for path in weights.SHIPPED.glob("*.json"):
        network = plugins.build(path.stem)
        known = load(network)
        assert path.with_suffix(".safetensors").stat().st_size <= 8e6
        assert known.licence
        assert known.pretrained_on
        assert set(known.related) | set(known.pretrained_on) <= set(plugins.tasks) | set(network.heads)
        assert json.loads(path.read_text())["sha256"] == known.sha256


def test_a_folder_of_its_own_is_enough(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved")
    shutil.copytree(folder, moved, dirs_exist_ok=True)
    assert load(tiny(), moved).images == "leaves"
