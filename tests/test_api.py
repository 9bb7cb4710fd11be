"""Test `import petlir`: light, typed, and with the same results as the command line."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

import petlir
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring.psnr_ssim import PSNR, SSIM
from petlir.benchmark.store import Store
from petlir.benchmark.weights import checkpoints
from petlir.benchmark.weights.cards import SHIPPED
from petlir.benchmark.weights.loading import save
from tests.helpers.engine import PLUGIN, ROOT, draw, laboratory
from tests.helpers.engine import save as save_image
from tests.helpers.samples import finished_in
from tests.test_cli import HEAVY


@pytest.fixture(scope="module")
def store(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a store with one finished cell."""
    with laboratory(small_images) as lab:
        yield lab.finished(tmp_path_factory.mktemp("api"), methods="adaptir", tasks="tiny_x2")


@pytest.fixture
def cell(store: Path) -> Path:
    (record,) = Store(store).files()
    return record.parent


def load(where: str | Path, weights: Path | None = None) -> petlir.Restorer:
    return petlir.load(where, weights, "cpu", plugins=[PLUGIN])


def test_importing_it_imports_nothing_heavy_and_every_name_is_there():
    code = f"""
import sys, petlir
from petlir import PetlirError
assert set(petlir.__all__) <= set(dir(petlir))
print([name for name in {HEAVY} if name in sys.modules])
from petlir import reports
print([getattr(petlir, name).__name__ == name and bool(getattr(petlir, name).__doc__) for name in petlir.__all__])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    light, named = done.stdout.splitlines()
    assert light == "[]"
    assert set(json.loads(named.lower())) == {True}
    with pytest.raises(AttributeError, match=r"^module 'petlir' has no attribute 'lode'$"):
        _ = petlir.lode


def test_a_finished_cell_restores_what_its_run_stored(store, cell):
    """The images that the run degraded are restored to the images that it stored, for each type of image."""
    restorer = load(cell)
    for path in (cell / "restored/small-test-x2").iterdir():
        degraded = read_image(next(store.glob(f"images/demo/tiny_x2/*/small-test-x2/degraded/{path.name}")))
        stored = read_image(path)
        restored = restorer.restore(degraded)
        assert restored.dtype == np.uint8 and np.array_equal(restored, stored)
        picture = restorer.restore(PIL.Image.fromarray(degraded))
        assert picture.mode == "RGB" and np.array_equal(np.array(picture), stored)
        for image in (degraded / np.float32(255), degraded / 255):
            floats = restorer.restore(image)
            assert floats.dtype == image.dtype and floats.min() >= 0 and floats.max() <= 1
            assert np.abs(floats * 255.0 - stored).max() <= 0.5 + 1e-4  # but for the rounding


def test_a_batch_of_tensors_comes_back_as_one(cell):
    images = np.stack([draw([number], 30, 40) for number in range(2)])
    restorer = load(str(cell / "adapter.safetensors"))
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    restored = restorer.restore(batch)
    assert restored.shape == (2, 3, 60, 80) and restored.dtype == torch.float64
    each = np.stack([restorer.restore(image) for image in images])
    assert (restored.permute(0, 2, 3, 1).mul(255).round().numpy() - each).max() <= 1  # batches round otherwise
    assert not restored.requires_grad and not restorer.module.training


def test_an_adapter_knows_its_head(cell):
    restorer, image = load(cell), draw([1], 20, 20)
    (own,) = restorer.heads
    assert np.array_equal(restorer.restore(image, own), restorer.restore(image))
    with pytest.raises(petlir.PetlirError, match=rf"^this adapter was trained for head {own} and cannot restore "):
        restorer.restore(image, "denoise_30")


def test_a_backbone_restores_through_the_head_that_is_named():
    clean = draw([3], 48, 48)
    noisy = (clean + np.random.default_rng(0).normal(0, 30, clean.shape)).clip(0, 255).round().astype(np.uint8)
    restorer = load("ipt-nano")
    assert isinstance(restorer.module, torch.nn.Module)
    before, after = (petlir.score(image, clean, "rgb") for image in (noisy, restorer.restore(noisy, "denoise_30")))
    assert after["psnr"] > before["psnr"] + 3
    assert restorer.restore(noisy, head="sr_x2").shape == (96, 96, 3)


def test_a_head_is_needed_where_there_are_several():
    restorer, image = load("ipt-nano"), draw([1], 20, 20)
    heads = ", ".join(restorer.module.heads)
    with pytest.raises(
        petlir.PetlirError, match=rf"^backbone ipt-nano has several heads; expected head to be one of {heads}$"
    ):
        restorer.restore(image)
    with pytest.raises(
        petlir.PetlirError, match=r"^unknown head of backbone ipt-nano 'denoise_31'; did you mean 'deno"
    ):
        restorer.restore(image, "denoise_31")
    assert load("edt-t:none").restore(image).shape == (80, 80, 3)  # it has one


def test_own_weights_replace_the_shipped_ones(tmp_path):
    state = checkpoints.read(SHIPPED / "nafnet-nano.safetensors")
    save(state, tmp_path / "same.safetensors")
    save({name: tensor * 0 for name, tensor in state.items()}, tmp_path / "nought.safetensors")
    image = draw([1], 20, 20)
    shipped, same, nought = (
        load("nafnet-nano", tmp_path / f"{path}.safetensors" if path else None).restore(image, "restore")
        for path in (None, "same", "nought")
    )
    assert np.array_equal(shipped, same) and (shipped != image).any()
    assert np.array_equal(nought, image)  # the network adds to its input


def test_what_cannot_be_loaded_is_named(cell, tmp_path):
    with pytest.raises(petlir.PetlirError, match=rf"^{tmp_path} is not a cell's folder: it holds no record.json$"):
        load(tmp_path)
    with pytest.raises(petlir.PetlirError, match=r"unknown backbone or folder 'ipt-nanno'; did you mean 'ipt-nano'\?$"):
        load("ipt-nanno")
    shutil.copytree(cell, tmp_path / "cell")
    (tmp_path / "cell" / "adapter.safetensors").unlink()
    with pytest.raises(petlir.PetlirError, match=r"^adapter .*adapter.safetensors is missing or damaged: "):
        load(tmp_path / "cell")
    with pytest.raises(petlir.PetlirError, match=r"^device 'cuda:9' is not available; valid: auto, cpu"):
        petlir.load("ipt-nano", device="cuda:9")


def test_an_adapter_of_other_weights_is_refused(cell, tmp_path):
    state = checkpoints.read(SHIPPED / "ipt-nano.safetensors")
    save({name: tensor + 1e-3 for name, tensor in state.items()}, tmp_path / "other.safetensors")
    with pytest.raises(
        petlir.PetlirError, match=r"^this cell was trained from different weights of ipt-nano: sha256 "
    ) as caught:
        load(cell, tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)
    with pytest.raises(
        petlir.PetlirError, match=r"^checkpoint .*nafnet-nano.safetensors: .*; it looks like nafnet-nano"
    ):
        load(cell, SHIPPED / "nafnet-nano.safetensors")


@pytest.fixture(scope="module")
def nafnet() -> petlir.Restorer:
    return load("nafnet-nano")


EXPECTED = "; expected an H×W×3 array (uint8, or float in [0, 1]), a PIL image, or an N×3×H×W tensor in [0, 1]"


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ([[1, 2]], f"the image is of type list{EXPECTED}"),
        (np.zeros((8, 8), np.uint8), f"the image is an array of uint8, 8×8{EXPECTED}"),
        (np.zeros((3, 8, 8), np.uint8), f"the image is an array of uint8, 3×8×8{EXPECTED}"),
        (np.zeros((0, 8, 3), np.uint8), f"the image is an array of uint8, 0×8×3{EXPECTED}"),
        (np.zeros((8, 8, 3), np.int64), f"the image is an array of int64, 8×8×3{EXPECTED}"),
        (np.full((8, 8, 3), 255.0), "the image has values from 255 to 255; expected [0, 1]: scale or clip it first"),
        (np.full((8, 8, 3), np.nan), "the image has values from nan to nan; expected [0, 1]: scale or clip it first"),
        (torch.zeros(3, 8, 8), f"the image is a tensor of float32, 3×8×8{EXPECTED}"),
        (torch.zeros(1, 8, 8, 3), f"the image is a tensor of float32, 1×8×8×3{EXPECTED}"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), f"the image is a tensor of uint8, 1×3×8×8{EXPECTED}"),
        (-torch.ones(1, 3, 8, 8), "the image has values from -1 to -1; expected [0, 1]: scale or clip it first"),
        (PIL.Image.new("RGBA", (8, 8)), "the image has an alpha channel that is not opaque; expected RGB or greyscale"),
        (PIL.Image.new("I;16", (8, 8)), "the image has the colour mode I;16; expected 8-bit RGB or greyscale"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_an_image_of_a_wrong_kind_or_shape_is_named(nafnet, image, line):
    with pytest.raises(petlir.PetlirError) as caught:
        nafnet.restore(image, "restore")
    assert str(caught.value) == line


def test_a_greyscale_picture_is_read_as_files_are(nafnet):
    grey = PIL.Image.fromarray(draw([1], 20, 20)[..., 0])
    assert nafnet.restore(grey, "restore") == nafnet.restore(grey.convert("RGB"), "restore")


def test_a_backbone_is_built_without_its_weights():
    torch.manual_seed(0)
    network = petlir.build("nafnet-nano")
    assert isinstance(network, petlir.Backbone)
    trained = load("nafnet-nano").module.state_dict()
    assert any(not torch.equal(tensor, trained[name]) for name, tensor in network.state_dict().items())
    assert list(petlir.build("edt-t", heads=("sr_x2",)).heads) == ["sr_x2"]
    with pytest.raises(petlir.PetlirError, match=r"^unknown option of backbone edt-t 'head'; did you mean 'heads'\?$"):
        petlir.build("edt-t", head="sr_x2")
    with pytest.raises(petlir.PetlirError, match=r"^unknown backbone 'nafnett'; did you mean 'nafnet'\?$"):
        petlir.build("nafnett")


def test_scores_of_images_follow_the_definition():
    """If images differ by 5 grey levels everywhere, PSNR is 20 log10(255 / 5); for equal images it is infinite."""
    clean = draw([2], 40, 40) // 2
    off = clean + 5
    expected = 20 * math.log10(255 / 5)
    tensor = torch.from_numpy(off).permute(2, 0, 1)[None] / 255
    for image in (off, off / 255, PIL.Image.fromarray(off), tensor):
        assert petlir.score(image, clean, "rgb")["psnr"] == pytest.approx(expected, abs=1e-9)
    same = petlir.score(clean, clean)
    assert same["psnr"] == math.inf and same["ssim"] == pytest.approx(1)
    inner = off.copy()
    inner[4:-4, 4:-4] = clean[4:-4, 4:-4]
    assert petlir.score(inner, clean)["psnr"] == math.inf  # y-crop4 leaves the border out


def test_a_metric_has_what_its_contract_names():
    rule = protocol("rgb")
    for metric in (PSNR(rule), SSIM(rule)):
        assert isinstance(metric, petlir.Metric) and metric.higher_is_better and metric.title == metric.name.upper()
    clean = torch.full((2, 3, 16, 16), 100 / 255)
    halves = clean + torch.tensor([10, 20]).view(2, 1, 1, 1) / 255, clean
    single = [PSNR(rule)(halves[0][[place]], halves[1][[place]]) for place in range(2)]
    assert PSNR(rule)(*halves) == pytest.approx(fmean(single))
    assert single[0] == pytest.approx(20 * math.log10(255 / 10)) and PSNR.unit == "dB"


def test_scores_of_folders_are_means(tmp_path):
    for number, off in enumerate((5, 10)):
        clean = draw([number], 40, 40) // 2
        save_image(tmp_path / "clean" / f"{number}.png", clean)
        save_image(tmp_path / "restored" / f"{number}.png", clean + off)
    found = petlir.score(tmp_path / "restored", str(tmp_path / "clean"), protocol="rgb")
    assert found["psnr"] == pytest.approx(fmean(20 * math.log10(255 / off) for off in (5, 10)))


def test_what_cannot_be_scored_is_named(tmp_path):
    image = draw([1], 20, 20)
    with pytest.raises(
        petlir.PetlirError, match=r"^clean is the folder .*, but the other argument is an image; expected two"
    ):
        petlir.score(image, tmp_path)
    with pytest.raises(petlir.PetlirError, match=r"^images of 20×20 and 20×16 pixels cannot be compared"):
        petlir.score(image, image[:16])
    with pytest.raises(petlir.PetlirError, match=r"^unknown protocol 'y-corp4'; did you mean 'y-crop4'\?$"):
        petlir.score(image, image, "y-corp4")
    with pytest.raises(petlir.PetlirError, match=r"^the clean image is an array of uint8, 20×20; expected an H×W×3"):
        petlir.score(image, image[..., 0])


def test_a_run_has_a_table(lab, tmp_path):
    chosen: dict[str, Any] = {"tasks": ["tiny"], "seeds": [0, 1], "steps": 2, "regime": "paper", "data": lab.data}
    where: dict[str, Any] = {"plugins": [PLUGIN], "device": "cpu", "workers": 1}
    petlir.run(tmp_path, methods="frozen", **(chosen | {"tasks": "tiny_x2"}), **where)
    run = petlir.run(str(tmp_path), methods=["frozen", "lora", "broken"], **chosen, **where)
    assert run.states == {"done": 3, "failed": 2} and run.worked == 5
    table = run.table().set_index("method")
    assert set(table.task) == {"tiny"}  # the other one is in the store, and was not asked for
    records = [r for r in finished_in(tmp_path) if r.cell.label == "lora"]
    assert table.psnr["lora"] == pytest.approx(fmean(s.value for r in records for s in r.rows()))
    assert table.ssim["lora"] == pytest.approx(fmean(s.value for r in records for s in r.rows("ssim")))
    assert table.trainable["lora"] == records[0].costs.trainable
    assert table.training_seconds["lora"] > 0 and table.seeds["lora"] == 2
    assert table.state["broken"] == "failed" and "no such width" in table.reason["broken"]
    assert pd.isna(table.delta_frozen_low["lora"])  # two seeds are too few for an interval
    with pytest.raises(petlir.PetlirError, match=r"^unknown method 'lroa'; did you mean 'lora'\?$"):
        petlir.run(tmp_path, methods="lroa", **chosen, **where)


SCRIPT = """
import sys
import petlir
from petlir.benchmark.runs import runner

print("once")
runner.Mirror = type("Silent", (), dict.fromkeys(("__init__", "put", "close"), lambda *_: None))
data, plugin, store = sys.argv[1:]
run = petlir.run(store, methods="frozen", tasks="tiny", data=data, plugins=[plugin], device="cpu")
print(dict(run.states), run.failed)
"""


def test_a_script_needs_no_main_guard(small_images, tmp_path):
    """Spawned workers do not import the script again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, small_images, PLUGIN, tmp_path / "store"]
    environment = os.environ | {"PYTHONPATH": str(Path(petlir.__file__).parents[1])}
    done = subprocess.run(command, text=True, capture_output=True, check=True, env=environment, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1], lines.count("once")) == ("once", "{'done': 1} []", 1)
    assert "Traceback" not in done.stderr
