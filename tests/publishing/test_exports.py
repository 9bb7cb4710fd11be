"""Test exports from a store: a folder with the adapter, a peft adapter, the hub, ONNX and torch.export."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import huggingface_hub
import numpy as np
import PIL.Image
import pytest
import torch

import petlir
from petlir.benchmark import grid
from petlir.benchmark.cells.own_images import restorer
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from petlir.benchmark.publishing import tile_runner
from petlir.benchmark.publishing.adapter_folder import export_adapter
from petlir.benchmark.publishing.network_export import export_network
from petlir.benchmark.publishing.peft_adapter import low_rank_updates, write_peft
from petlir.benchmark.restoration.restore import restore_each, restore_image
from petlir.benchmark.store import Store
from petlir.benchmark.training.adaptation import adapt
from tests.helpers.engine import PLUGIN, command, draw, laboratory, save


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory, small_images: Path) -> dict[str, Path]:
    """Train cells for two steps on NAFNet-nano, and return their folders by method."""
    store = tmp_path_factory.mktemp("exports")
    methods = "lora[sites=all; rank=2],bitfit,frozen,adapter"
    with laboratory(small_images) as lab:
        lab.run(store, backbones="nafnet-nano", methods=methods)
    return {record.cell.method: Store(store).cell_folder(record.cell, record.key) for record in Store(store).records()}


@pytest.fixture(scope="module")
def exported(cells: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return a cached function that exports the network of a method's cell in a format, for tiles of 32 pixels."""

    @cache
    def export(method: str, form: str) -> Path:
        if form == "onnx":
            pytest.importorskip("onnxruntime")
        folder = tmp_path_factory.mktemp(form) / "net"
        assert export_network(cells[method], folder, form, 32, [PLUGIN]) <= 1e-4
        return folder

    return export


def test_an_exported_folder_describes_and_restores(cells, tmp_path):
    export_adapter(cells["adapter"], tmp_path / "mine", [PLUGIN])
    about = json.loads((tmp_path / "mine" / "adapter.json").read_text())
    assert (about["method"], about["backbone"], about["options"].keys()) == ("adapter", "nafnet-nano", {"rank"})
    for name, digest in about["files"].items():
        assert hashlib.sha256((tmp_path / "mine" / name).read_bytes()).hexdigest() == digest
    card = (tmp_path / "mine" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: petlir\n") and "# adapter on nafnet-nano for tiny" in card
    image = draw([3], 40, 44)
    expected = petlir.load(cells["adapter"], plugins=[PLUGIN]).restore(image)
    assert np.array_equal(petlir.load(tmp_path / "mine", plugins=[PLUGIN]).restore(image), expected)


def test_an_export_replaces_an_earlier_one_and_nothing_else(cells, tmp_path):
    export_adapter(cells["lora"], tmp_path / "mine", [PLUGIN])
    assert (tmp_path / "mine" / "peft").is_dir()
    export_adapter(cells["bitfit"], tmp_path / "mine", [PLUGIN])
    assert not (tmp_path / "mine" / "peft").exists()  # biases are not a low-rank update
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(PetlirError, match="other holds other files; expected a new or empty folder"):
        export_adapter(cells["bitfit"], tmp_path / "other", [PLUGIN])
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


def test_what_cannot_be_exported_is_said(cells, tmp_path):
    with pytest.raises(PetlirError, match="frozen trains nothing, so there is no adapter"):
        export_adapter(cells["frozen"], tmp_path / "mine", [PLUGIN])
    torn = shutil.copytree(cells["bitfit"], tmp_path / "torn")
    (torn / "adapter.safetensors").write_bytes(b"torn")
    with pytest.raises(PetlirError, match="is not the adapter that its record names: the SHA-256 differs"):
        export_adapter(torn, tmp_path / "mine", [PLUGIN])
    assert not (tmp_path / "mine").exists()


LOW_RANK = [
    ("nafnet-nano", "lora[sites=all; rank=2]"), ("ipt-nano", "fact"), ("dat-light", "lora"),
    ("nafnet-nano", "peft:lora[rank=2; sites=all]"),
]  # fmt: skip


@pytest.mark.parametrize(("backbone", "method"), LOW_RANK)
def test_low_rank_updates_load_in_peft_on_the_plain_network(tmp_path, backbone, method):
    """The network that peft builds from the unadapted one gives the same output as petlir's."""
    peft = pytest.importorskip("peft")

    def build():
        torch.manual_seed(0)
        network = find().build(backbone).eval()
        for parameter in network.parameters():
            if not parameter.any():  # NAFNet's branches start with a scale of zero
                torch.nn.init.normal_(parameter, std=0.1)
        return network

    network = build()
    (chosen,) = grid.methods(method, find().methods)
    head = list(network.heads)[-1]
    adapted = adapt(network, chosen, head, 0)
    for parameter in adapted.trainable().values():
        torch.nn.init.normal_(parameter, std=0.05)
    images = torch.rand(1, 3, network.window or 32, network.window or 32)
    with torch.no_grad():
        expected = network(images, head)
        plain = build()(images, head)
    updates = low_rank_updates(network, build())
    write_peft(backbone, updates, tmp_path)
    loaded = peft.PeftModel.from_pretrained(build(), str(tmp_path)).eval()
    with torch.no_grad():
        restored = loaded(images, head)
    assert (restored - expected).abs().max() < 1e-5 < (plain - expected).abs().max()


class LocalHub:
    """A hub in a folder, with the functions that `huggingface_hub` needs for pushing and downloading."""

    def __init__(self, root: Path) -> None:
        self.root, self.commit = root, "0" * 40

    def create_repo(self, repo: str, exist_ok: bool) -> None:
        assert exist_ok
        (self.root / repo).mkdir(parents=True)

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> object:
        self.commit = hashlib.sha1(commit_message.encode()).hexdigest()
        shutil.copytree(folder_path, self.root / repo_id / self.commit)
        return type("Commit", (), {"oid": self.commit})()

    def download(self, repo: str, file: str, revision: str, repo_type: str) -> str:
        commit = self.commit if revision == "main" else revision
        path = self.root / repo / commit / file
        if not path.is_file():
            raise OSError(f"404: {file}")
        return str(path)


def test_push_and_load_from_the_hub(cells, tmp_path, monkeypatch, capsys):
    hub = LocalHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.download)
    code, out, err = command(capsys, "push", cells["bitfit"], "hub:me/tiny", "--plugin", PLUGIN)
    assert code == 0, err
    assert out == f"to use the adapter: petlir restore IN OUT --adapter hub:me/tiny@{hub.commit}\n"
    image = draw([3], 40, 44)
    expected = petlir.load(cells["bitfit"], plugins=[PLUGIN]).restore(image)
    for source in ("hub:me/tiny", f"hub:me/tiny@{hub.commit}"):
        assert np.array_equal(petlir.load(source, plugins=[PLUGIN]).restore(image), expected)
    save(tmp_path / "in.png", image)
    code, _, err = command(
        capsys, "restore", tmp_path / "in.png", tmp_path / "out", "--adapter", "hub:me/tiny", "--plugin", PLUGIN
    )
    assert code == 0, err
    with pytest.raises(PetlirError, match=r"record.json of me/other cannot be downloaded: 404"):
        petlir.load("hub:me/other")


@pytest.mark.parametrize("target", ["me/tiny", "hub:tiny", "hub:me/tiny/file", "hub:../..", "hub:me/tiny@main"])
def test_a_bad_target_is_refused(cells, capsys, target):
    code, _, err = command(capsys, "push", cells["bitfit"], target, "--plugin", PLUGIN)
    assert code == 2 and "expected hub:OWNER/NAME" in err


@pytest.mark.parametrize(
    ("method", "form"),
    [
        ("lora", "onnx"),
        ("lora", "torch"),
        ("adapter", "onnx"),
        pytest.param("adapter", "torch", marks=pytest.mark.long),  # ONNX is made of the same program
    ],
)
def test_an_exported_network_restores_as_petlir_does(cells, exported, method, form):
    """The images have sides shorter and longer than a tile; petlir and the export use tiles of the same size."""
    folder = exported(method, form)
    about = json.loads((folder / "network.json").read_text())
    forward = tile_runner.load(folder / about["file"])
    model = restorer(cells[method], "cpu", [PLUGIN])
    for height, width in ((20, 90), (70, 33)):
        image = draw([height], height, width)
        ours = next(restore_each(model.network, [image], model.heads, tile=32))
        given = np.asarray(image.transpose(2, 0, 1)[None] / 255, np.float32)
        theirs = tile_runner.restore(forward, given, 32, about["overlap"], about["scale"], about["left"])
        if min(height, width) >= 32:
            assert np.abs(theirs - ours.numpy()).max() < 1e-4
        assert theirs.shape == ours.shape


def test_the_runner_needs_nothing_of_petlir(cells, exported, tmp_path):
    runner = exported("lora", "onnx") / "run.py"
    image = draw([5], 80, 96)
    save(tmp_path / "in" / "a.png", image)
    asked = [sys.executable, "-I", "-S", "-c", RUN, *map(str, (runner, tmp_path / "in", tmp_path / "out"))]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = restorer(cells["lora"], "cpu", [PLUGIN])
    expected = restore_image(model.network, image, model.heads, tile=32)
    with PIL.Image.open(tmp_path / "out" / "a.png") as file:
        assert np.abs(np.asarray(file).astype(int) - expected).max() <= 1


RUN = f"""
import runpy, sys
sys.path[:0] = {[path for path in sys.path if "site-packages" in path]!r}
sys.modules["petlir"] = sys.modules["torch"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Code that runs in a process where petlir and torch cannot be imported."""


def test_a_tile_that_does_not_fit_is_refused(cells, tmp_path):
    with pytest.raises(PetlirError, match=r"tile 33 does not fit nafnet-nano; expected a multiple of \d+"):
        export_network(cells["lora"], tmp_path / "net", "torch", 33, [PLUGIN])
    with pytest.raises(PetlirError, match="unknown format 'onx'; did you mean 'onnx'"):
        export_network(cells["lora"], tmp_path / "net", "onx", 32, [PLUGIN])
    assert not (tmp_path / "net").exists()
