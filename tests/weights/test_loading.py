"""Test shipped and user weights: damaged, missing or mismatched files are named in one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from petlir.benchmark import backbones, hub
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from petlir.benchmark.store import Store
from petlir.benchmark.weights import cards, official
from petlir.benchmark.weights.cards import Card, card
from petlir.benchmark.weights.loading import digest, load, save
from petlir.benchmark.weights.official import Official
from petlir.benchmark.weights.sources import fetch, sha256, sources
from tests.helpers.engine import PLUGIN, command
from tests.helpers.samples import finished_in

NAME = "ipt-tiny"
CARD = Card("", ("sr_x4",), {"sr_x3": "sr_x4"}, "leaves", {"steps": 3}, "CC0-1.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the weights of a tiny network and their card."""
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
    ("harm", "said"),
    [
        (corrupt, "damaged or a different file: sha256 "),
        (Path.unlink, "missing; expected sha256 "),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged or a different file: sha256 "),
        (lambda path: path.write_bytes(b""), "damaged or a different file: sha256 e3b0c44298fc…"),
    ],
    ids=["one bit", "missing", "cut off", "empty"],
)
def test_a_damaged_file_is_refused_before_it_is_used(folder, harm, said):
    path = folder / f"{NAME}.safetensors"
    harm(path)
    network = tiny()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(PetlirError) as caught:
        load(network, folder)
    assert str(caught.value).startswith(f"weight file {path} is {said}")
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
    with pytest.raises(PetlirError, match=r"ipt-tiny.json is not a card of weights: "):
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
    assert CARD.transfer(find().task(task), "demo") == transfer


def test_shipped_weights_are_whole_small_and_described():
    plugins = find()
    for path in cards.SHIPPED.glob("*.safetensors"):
        network = plugins.build(path.stem)
        known = load(network)
        assert path.stat().st_size <= 8e6
        assert known.licence
        assert known.pretrained_on
        assert set(known.related) | set(known.pretrained_on) <= set(plugins.tasks) | set(network.heads)
        assert json.loads(path.with_suffix(".json").read_text())["sha256"] == known.sha256


def test_a_folder_of_its_own_is_enough(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved")
    shutil.copytree(folder, moved, dirs_exist_ok=True)
    assert load(tiny(), moved).images == "leaves"


COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = {"ipt-nano", "ipt-tiny"}


def moved(network: Backbone) -> Backbone:
    """Change the network's weights from their initial values."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    return network


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a user's own weights for the shipped network, as a framework saves them."""
    monkeypatch.delenv("PETLIR_WEIGHTS", raising=False)
    network = backbones.build("ipt-nano")
    load(network)
    path = tmp_path / "own.pth"
    torch.save({"params": moved(network).official_state_dict()}, path)
    return path


def test_a_users_own_file_wins_over_the_shipped_one(own):
    network = backbones.build("ipt-nano")
    found = load(network, sources={"ipt-nano": str(own)})
    assert (
        found.sha256
        == hashlib.sha256(own.read_bytes()).hexdigest()
        == digest("ipt-nano", sources={"ipt-nano": str(own)})
    )
    expected = torch.load(own)["params"]
    assert all(torch.equal(tensor, expected[key]) for key, tensor in network.official_state_dict().items())
    assert (found.pretrained_on, found.images, found.licence) == ((), "not known", "not known")
    assert found.transfer(find().task("sr_x4"), "demo") == "unseen"


def test_a_card_beside_a_users_file_is_believed_and_checked(folder):
    file = str(folder / f"{NAME}.safetensors")
    assert load(tiny(), sources={NAME: file}).images == "leaves"
    corrupt(Path(file))
    with pytest.raises(PetlirError, match="is damaged or a different file"):
        digest(NAME, sources={NAME: file})
    (folder / f"{NAME}.json").write_text('{"some": "configuration"}')
    assert digest(NAME, sources={NAME: file}) == hashlib.sha256(Path(file).read_bytes()).hexdigest()


def test_sources_are_given_or_lie_in_a_folder(tmp_path, monkeypatch):
    (tmp_path / "ipt-nano.pth").touch()
    (tmp_path / "ipt-tiny.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    monkeypatch.setenv("PETLIR_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert dict(text.split("=") for text in sources(["ipt-tiny=other.pt"], NAMES)) == {
        "ipt-nano": str(tmp_path / "ipt-nano.pth"),
        "ipt-tiny": str(tmp_path / "other.pt"),
    }
    (tmp_path / "ipt-nano.pt").touch()
    with pytest.raises(PetlirError, match=r"PETLIR_WEIGHTS has ipt-nano.pth and ipt-nano.pt; expected one of them"):
        sources([], NAMES)
    monkeypatch.setenv("PETLIR_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(PetlirError, match=r"none is not a folder; expected a folder with files such as ipt.pth"):
        sources([], NAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ipt-nano", "weights 'ipt-nano' are not understood; expected NAME=FILE, NAME=hub:"),
        ("=a.pth", "weights '=a.pth' are not understood"),
        ("ipt-nan=a.pth", "unknown backbone in --weights 'ipt-nan'; did you mean 'ipt-nano'?"),
        ("ipt-nano=hub:me", "source 'hub:me' is not understood; expected hub:OWNER/REPO@REVISION/FILE#sha256=HEX"),
        ("ipt-nano=hub:me/nets/a.pth#sha256=" + "0" * 64, "revision '' of me/nets is not pinned; expected a commit"),
        ("ipt-nano=hub:me/nets@main/a.pth#sha256=" + "0" * 64, "revision 'main' of me/nets is not pinned"),
        (f"ipt-nano=hub:me/nets@{COMMIT[:12]}/a.pth", "is not pinned; expected a commit of 40 hex digits"),
        (f"ipt-nano=hub:me/nets@{COMMIT}/a.pth", "has no complete SHA-256; expected hub:"),
        (f"ipt-nano=hub:me/nets@{COMMIT}/a.pth#sha256=12ab", "has no complete SHA-256"),
    ],
)
def test_a_source_that_is_not_pinned_or_not_understood(text, said):
    with pytest.raises(PetlirError) as caught:
        sources([text], NAMES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def asked(own, monkeypatch) -> list[tuple[str, str, str]]:
    """Replace the hub by a stand-in that returns the user's file for any name; return the list of its requests."""
    calls = []

    def download(repo: str, file: str, *, revision: str, repo_type: str) -> str:
        assert repo_type == "model"
        calls.append((repo, file, revision))
        return str(own)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return calls


def test_a_file_of_the_hub_is_one_commits_and_of_its_digest(own, asked):
    whole = hashlib.sha256(own.read_bytes()).hexdigest()
    source = f"hub:me/nets@{COMMIT}/deep/a.pth#sha256={whole}"
    (text,) = sources([f"ipt-nano={source}"], NAMES)
    assert text == f"ipt-nano={source}"
    assert load(backbones.build("ipt-nano"), sources={"ipt-nano": source}).sha256 == whole
    assert set(asked) == {("me/nets", "deep/a.pth", COMMIT)}
    with pytest.raises(
        PetlirError, match=r"a.pth of me/nets is damaged or a different file: sha256 .*expected 000000000000"
    ):
        fetch(f"hub:me/nets@{COMMIT}/a.pth#sha256={'0' * 64}")


def test_a_hub_that_is_out_of_reach_is_one_line(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PetlirError, match=r"^a.pth of me/nets cannot be downloaded: ") as caught:
        hub.HubFile("me/nets", COMMIT, "a.pth", "0" * 64).download()
    assert "\n" not in str(caught.value)


def test_a_digest_is_computed_again_when_the_file_has_changed(tmp_path):
    path = tmp_path / "a"
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        os.utime(path, ns=(len(content), content[0]))
        assert sha256(path) == hashlib.sha256(content).hexdigest()


def test_every_official_checkpoint_is_of_a_network_that_there_is():
    families = {name: vars(module) for module in backbones.modules() for name in vars(module).get("BACKBONES", {})}
    for one in official.known():
        assert set(one.heads) <= set(families[one.backbone].get("HEADS", ()))
        seen = set(one.pretrained_on)
        assert set(one.related.values()) <= seen
        assert not seen & set(one.related)
        assert one.title and one.images and one.licence and one.source
        first, _, last = one.digest.partition("…")
        assert not one.digest or (len(first), len(last)) == (8, 4)


ANY = Official("a.pth", "ipt-nano", (), "t", "photographs", ("sr_x4",), {"sidd": "sr_x4"}, "MIT", "s")


def test_official_weights_are_known_by_digest_then_name_then_shape(own, monkeypatch):
    whole, size = hashlib.sha256(own.read_bytes()).hexdigest(), own.stat().st_size
    known = replace(ANY, digest=f"{whole[:8]}…{whole[-4:]}", size=size)
    named, other = replace(ANY, file=own.name, images="n"), replace(ANY, file="b", pretrained_on=("sidd",), related={})
    for there, seen, related, images in (
        ([named, known], ("sr_x4",), {"sidd": "sr_x4"}, "photographs"),
        ([replace(known, size=size + 1)], (), {}, "not known"),
        ([replace(known, digest=f"{whole[:8]}…{'0' * 4}")], (), {}, "not known"),
        ([other, named], ("sr_x4",), {"sidd": "sr_x4"}, "n (assumed to be own.pth by shape, not by digest)"),
        ([ANY, other], ("sr_x4", "sidd"), {}, "not known (assumed to be a.pth or b by shape, not by digest)"),
        ([replace(ANY, heads=("sr_x4",))], (), {}, "not known"),
    ):
        monkeypatch.setattr(official, "known", lambda there=there: there)
        found = load(backbones.build("ipt-nano"), sources={"ipt-nano": str(own)})
        assert (found.pretrained_on, dict(found.related), found.images) == (seen, related, images)


def test_the_weights_of_a_run_are_in_the_key_and_in_the_record(lab, own, tmp_path):
    plain, mine = tmp_path / "plain", tmp_path / "mine"
    lab.run(plain, methods="frozen")
    outcome = lab.run(mine, methods="frozen", weights=[f"ipt-nano={own}"])
    assert outcome.states == {"done": 1}
    (before,), (after,) = finished_in(plain), finished_in(mine)
    assert after.digests.weights == after.key_components["weights"] == sha256(own)
    assert before.digests.weights == card("ipt-nano").sha256
    assert before.key != after.key
    assert {name for name, value in after.key_components.items() if before.key_components[name] != value} == {"weights"}
    assert before.digests.predictions != after.digests.predictions


def test_weights_on_the_command_line(lab, own, tmp_path, capsys):
    common = ["-t", "tiny", "-m", "frozen", "-b", "ipt-nano", "--plugin", PLUGIN, "--data", lab.data]
    store, mine = tmp_path / "store", ["--weights", f"ipt-nano={own}"]
    code, _, err = command(capsys, "run", *common, *mine, "--store", store, "--device", "cpu", "--no-report")
    assert code == 0, err
    states = [command(capsys, "plan", *common, *more, "--store", store)[1].split()[0] for more in (mine, [])]
    assert states == ["done", "stale"]
    (record,) = Store(store).files()
    again = ["restore", lab.data / "small-test", tmp_path / "out", "--adapter", record, "--plugin", PLUGIN]
    code, _, err = command(capsys, *again, "--device", "cpu")
    assert code == 2
    assert err.startswith("petlir: this cell was trained from different weights of ipt-nano: sha256 ")
    assert command(capsys, *again, "--device", "cpu", *mine)[0] == 0


def test_another_networks_weights_end_a_run_before_it_starts(lab, tmp_path, capsys):
    torch.save(backbones.build("ipt-nano", heads=("sr_x3",)).official_state_dict(), tmp_path / "a.pth")
    asked = ["-t", "tiny", "-m", "frozen", "--plugin", PLUGIN, "--data", lab.data, "--store", tmp_path / "store"]
    for file, said in (
        ("a.pth", "it looks like ipt-nano built with heads=('sr_x3',)"),
        ("none", "none does not exist"),
    ):
        code, _, err = command(capsys, "run", *asked, "--weights", f"ipt-nano={tmp_path / file}", "--device", "cpu")
        assert (code, len(err.splitlines())) == (2, 1)
        assert said in err
        assert not (tmp_path / "store").exists()


def test_weights_are_listed(capsys, own, monkeypatch):
    rows = {row["name"]: row for row in json.loads(command(capsys, "list", "weights", "--json")[1])}
    assert rows["ipt-nano"]["about"].startswith("shipped: ")
    assert rows["NAFNet-SIDD-width32.pth"]["backbone"] == "nafnet-32"
    own.rename(own.with_name("ipt-nano.pth"))
    monkeypatch.setenv("PETLIR_WEIGHTS", str(own.parent))
    lines = command(capsys, "list", "weights")[1].splitlines()
    assert [line.split()[1] for line in lines if line.startswith("ipt-nano ")] == ["found:"]
