"""Test scores of folders: published baselines on real sets, pairing of files, and refused input."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.io import imsave
from skimage.metrics import peak_signal_noise_ratio

from petlir.benchmark.degradation import Image
from petlir.benchmark.degradations.resize import enlarge, imresize
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring.folders import all_protocols, paired, score_folders, side_by_side
from tests.helpers.engine import command


def image(seed: int, height: int = 24, width: int = 28) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(folder: Path, **images: NDArray[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, pixels in images.items():
        imsave(folder / f"{stem}.png", pixels, check_contrast=False)
    return folder


def shrunk(reference: Path, folder: Path, scale: int) -> Path:
    """Return a folder of the images that `petlir degrade` makes for super-resolution."""
    return save(folder, **{path.stem: imresize(read_image(path), 1 / scale) for path in reference.iterdir()})


@pytest.mark.parametrize(
    ("name", "psnr", "ssim"),
    [("Set5", 28.43, 0.811), ("BSD100", 25.96, 0.668)],
)
def test_bicubic_x4_is_the_published_baseline(shared, tmp_path, name, psnr, ssim):
    reference = shared / "datasets" / name / "HR"
    scores = score_folders(shrunk(reference, tmp_path, 4), reference, protocol("y-crop4"), bicubic=True)
    assert scores["mean"]["psnr"] == pytest.approx(psnr, abs=0.02)
    assert scores["mean"]["ssim"] == pytest.approx(ssim, abs=0.002)


def test_the_low_resolution_images_of_matlab_give_the_same_baseline(shared):
    folder = shared / "datasets/Set5"
    mean = score_folders(folder / "LR_x4", folder / "HR", protocol("y-crop4"), bicubic=True)["mean"]
    assert dict(mean) == {"psnr": pytest.approx(28.43, abs=0.02), "ssim": pytest.approx(0.811, abs=0.002)}


@pytest.mark.parametrize(("name", "psnr", "ssim"), [("Rain100L", 26.90, 0.838), ("Rain100H", 13.56, 0.379)])
def test_rainy_input_is_the_published_baseline(shared, name, psnr, ssim):
    # both sets have the same clean images
    sets = shared / "datasets"
    scores = score_folders(sets / name / "rain", sets / "Rain100L/norain", protocol("y"))
    assert len(scores["images"]) == 100
    assert dict(scores["mean"]) == {"psnr": pytest.approx(psnr, abs=0.01), "ssim": pytest.approx(ssim, abs=0.001)}


def test_scores_are_json_with_one_row_an_image(tmp_path):
    clean = {"a": image(0), "b": image(1)}
    restored = {stem: (0.9 * pixels).astype(np.uint8) for stem, pixels in clean.items()}
    folders = save(tmp_path / "restored", **restored), save(tmp_path / "clean", **clean)
    scores = json.loads(json.dumps(score_folders(*folders, protocol("rgb"))))
    each = [peak_signal_noise_ratio(clean[stem], restored[stem], data_range=255) for stem in "ab"]
    assert scores["protocol"] == "rgb"
    assert [row["name"] for row in scores["images"]] == ["a", "b"]
    assert [row["psnr"] for row in scores["images"]] == pytest.approx(each)
    assert scores["mean"]["psnr"] == pytest.approx(sum(each) / 2)


def test_identical_images_are_infinitely_alike_in_json_too(tmp_path):
    folder = save(tmp_path / "one", a=image(0))
    scores = score_folders(folder, folder, protocol("y"))
    assert dict(scores["mean"]) == {"psnr": "inf", "ssim": pytest.approx(1)}
    assert "Infinity" not in json.dumps(scores)


def test_identical_images_are_left_out_of_both_means_and_counted(tmp_path, capsys):
    clean = {"a": image(0), "b": image(1), "c": image(2)}
    restored = {"a": clean["a"], **{stem: (0.9 * clean[stem]).astype(np.uint8) for stem in "bc"}}
    folders = save(tmp_path / "restored", **restored), save(tmp_path / "clean", **clean)
    scores = score_folders(*folders, protocol("rgb"))
    first, *others = scores["images"]
    assert (first["psnr"], scores["identical"]) == ("inf", 1)
    for metric in ("psnr", "ssim"):
        assert scores["mean"][metric] == pytest.approx(sum(float(row[metric]) for row in others) / 2)
    assert "  3 images, 1 identical left out  rgb" in command(capsys, "score", *folders)[1]


def test_images_pair_by_stem_whatever_else_lies_there(tmp_path):
    restored = save(tmp_path / "restored", a=image(0))
    reference = save(tmp_path / "clean")
    imsave(reference / "a.bmp", image(0), check_contrast=False)
    (restored / "README.txt").write_text("not an image")
    (restored / ".a.png").write_text("not an image either")
    assert [(left.name, right.name) for left, right in paired(restored, reference)] == [("a.png", "a.bmp")]


def test_images_pair_by_the_prefixes_of_rain100(tmp_path):
    restored = save(tmp_path / "rain", **{"rain-001": image(0), "rain-002": image(1)})
    reference = save(tmp_path / "norain", **{"norain-002": image(1), "norain-001": image(0)})
    rows = score_folders(restored, reference, protocol("rgb"))["images"]
    assert [(row["name"], row["psnr"]) for row in rows] == [("norain-001", "inf"), ("norain-002", "inf")]


def test_bicubic_enlarges_what_is_an_integer_factor_smaller(tmp_path):
    small = save(tmp_path / "small", a=image(0, 12, 14))
    full = save(tmp_path / "full", a=enlarge(image(0, 12, 14), 3))
    assert score_folders(small, full, protocol("rgb"), bicubic=True)["mean"]["psnr"] == "inf"
    assert score_folders(full, full, protocol("rgb"), bicubic=True)["mean"]["psnr"] == "inf"


def refused(message: str, restored: Path, reference: Path, name: str = "y", *, bicubic: bool = False) -> None:
    with pytest.raises(PetlirError, match=re.escape(message)) as caught:
        score_folders(restored, reference, protocol(name), bicubic=bicubic)
    assert "\n" not in str(caught.value)


def test_missing_and_empty_folders_are_named(tmp_path):
    folder, empty = save(tmp_path / "one", a=image(0)), save(tmp_path / "empty")
    refused("nowhere is not a folder", tmp_path / "nowhere", folder)
    refused("a.png is not a folder", folder, folder / "a.png")
    refused("empty holds no image", folder, empty)


def test_the_first_name_without_a_partner_is_named(tmp_path):
    folder = save(tmp_path / "one", a=image(0), b=image(1), c=image(2))
    fewer = save(tmp_path / "two", a=image(0))
    refused("b.png has no partner: an image named 'b' is expected in", folder, fewer)
    refused("b.png has no partner: an image named 'b' is expected in", fewer, folder)
    imsave(folder / "a.bmp", image(0), check_contrast=False)
    refused("a.png and a.bmp have the same name", folder, fewer)


def test_sizes_that_differ_are_named(tmp_path):
    full = save(tmp_path / "full", a=image(0, 24, 28))
    half, odd = save(tmp_path / "half", a=image(0, 12, 14)), save(tmp_path / "odd", a=image(0, 12, 13))
    refused("14×12 pixels, its reference 28×24; equal sizes are expected; use --bicubic", half, full)
    refused("13×12 pixels, its reference 28×24; equal sizes are expected", odd, full, bicubic=True)
    refused("28×24 pixels, its reference 14×12; equal sizes are expected", full, half, bicubic=True)


def test_images_too_small_for_the_protocol_are_named(tmp_path):
    folder = save(tmp_path / "one", a=image(0, 12, 28))
    refused("a.png: SSIM under y-crop4 needs 11×11 pixels", folder, folder, "y-crop4")


def test_a_real_alpha_channel_is_refused(tmp_path):
    folder = save(tmp_path / "one", a=np.zeros((24, 28, 4), np.uint8))
    refused("a.png has an alpha channel that is not opaque", folder, folder)


def test_unreadable_images_are_refused(tmp_path):
    folder = save(tmp_path / "one", a=image(0))
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:40])
    refused("a.png", folder, folder)


def test_greyscale_is_the_same_as_its_rgb(tmp_path):
    grey = image(0)[..., 0]
    restored = save(tmp_path / "grey", a=grey)
    reference = save(tmp_path / "rgb", a=np.repeat(grey[..., None], 3, 2))
    assert score_folders(restored, reference, protocol("rgb"))["mean"]["psnr"] == "inf"
    assert math.isclose(score_folders(restored, reference, protocol("rgb"))["mean"]["ssim"], 1)


def test_all_protocols_stand_side_by_side_as_each_would_alone(tmp_path):
    clean = {stem: image(seed, 40, 44) for seed, stem in enumerate("ab")}
    restored = {stem: (0.8 * pixels).astype(np.uint8) for stem, pixels in clean.items()}
    folders = save(tmp_path / "restored", **restored), save(tmp_path / "clean", **clean)
    found = side_by_side(*folders, all_protocols())
    assert found == [score_folders(*folders, rule) for rule in all_protocols()]
    names = [scores["protocol"] for scores in found]
    assert {"y", "rgb", "y-crop4", "y-ipt", "y-full", "rgb-ssim3d", "rgb-gtmean"} <= set(names)
    assert not any("float" in name or "@" in name or "+" in name for name in names)


def test_what_is_not_rounded_is_not_scored_from_files(tmp_path):
    folder = save(tmp_path / "one", a=image(0))
    refused("rgb-float scores images before rounding", folder, folder, "rgb-float")


def test_the_command_prints_them_side_by_side(tmp_path, capsys):
    clean = save(tmp_path / "clean", a=image(0, 40, 44))
    restored = save(tmp_path / "restored", a=image(1, 40, 44))
    code, out, _ = command(capsys, "score", restored, clean, "--all-protocols")
    assert (code, len(out.splitlines())) == (0, len(all_protocols()))
    told = json.loads(command(capsys, "score", restored, clean, "--all-protocols", "--json")[1])
    assert [scores["protocol"] for scores in told["protocols"]] == [rule.id for rule in all_protocols()]


def test_metrics_of_folders(tmp_path, capsys):
    pyiqa = pytest.importorskip("pyiqa", exc_type=ImportError)
    pair = image(0, 24, 28), image(1, 24, 28)
    restored, clean = (save(tmp_path / name, a=pixels) for name, pixels in zip(("r", "c"), pair, strict=True))
    told = json.loads(command(capsys, "score", restored, clean, "--metrics", "gmsd,ms_ssim", "--json")[1])
    gmsd, ms_ssim = told["metrics"]
    batches = (torch.tensor(pixels).permute(2, 0, 1)[None] / 255 for pixels in pair)
    assert gmsd["images"] == [{"name": "a", "value": pytest.approx(pyiqa.create_metric("gmsd")(*batches).item())}]
    assert (gmsd["better"], gmsd["unavailable"], told["protocol"]) == ("lower", None, "rgb")
    assert (ms_ssim["mean"], ms_ssim["images"]) == (None, []) and ms_ssim["unavailable"]
    out = command(capsys, "score", restored, clean, "--metrics", "ms_ssim")[1]
    assert "ms_ssim  not available: " in out
    code, _, err = command(capsys, "score", restored, clean, "--metrics", "nothing-such")
    assert (code, err.count("\n")) == (2, 1)
