"""Test metrics of pyiqa: their values, their direction, and metrics that are not available."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.scoring import measurement, pyiqa_metrics
from petlir.benchmark.scoring.measurement import Look, Measurement
from petlir.benchmark.scoring.metrics import choose
from petlir.benchmark.scoring.metrics import measured as measured_by
from tests.helpers.engine import draw

pyiqa = pytest.importorskip("pyiqa", exc_type=ImportError)

WEIGHTLESS = ("fsim", "ms_ssim", "gmsd", "vif", "nlpd")


def pair(seed: int, height: int, width: int) -> tuple[Image, Image]:
    """Return a blurred image and the sharp one. They have texture, since some metrics are NaN on smooth images."""
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    clean = (draw([seed], height, width) + noise).clip(0, 255).astype(np.uint8)
    return uniform_filter(clean, (3, 3, 1)), clean


def looks(*sizes: tuple[int, int]) -> dict[str, Look]:
    return {f"{n}": partial(pair, n, *size) for n, size in enumerate(sizes)}


def measured(names: Iterable[str], images: Mapping[str, Look], device: str) -> list[Measurement]:
    """Score images with pyiqa's metrics only."""
    return measured_by(names, images, device, {})


@pytest.fixture(autouse=True)
def _nothing_made():
    pyiqa_metrics.prepare.cache_clear()
    yield
    pyiqa_metrics.prepare.cache_clear()


def test_values_are_those_of_pyiqa_one_image_at_a_time():
    images = looks((176, 180), (190, 177), (176, 180))
    for one in measured(WEIGHTLESS, images, "cpu"):
        theirs = pyiqa.create_metric(one.name, device="cpu")
        expected = [
            theirs(*(torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in look())).item()
            for look in images.values()
        ]
        assert one.values == pytest.approx(expected, abs=1e-5)
        assert one.unavailable is None and one.library.startswith("pyiqa ")


def test_equal_sizes_go_together(monkeypatch):
    seen = []
    made = pyiqa_metrics.prepare("fsim", "cpu")

    def model(restored: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(restored.shape))
        return restored.mean((1, 2, 3))

    monkeypatch.setattr(pyiqa_metrics, "prepare", lambda name, device: replace(made, model=model))
    monkeypatch.setattr(measurement, "AT_ONCE", 2 * 40 * 50)
    images = looks((40, 50), (50, 40), (40, 50), (40, 50))
    (one,) = measured(["fsim"], images, "cpu")
    assert sorted(seen) == [(1, 3, 40, 50), (1, 3, 50, 40), (2, 3, 40, 50)]
    assert one.values == pytest.approx([look()[0].mean() / 255 for look in images.values()], abs=1e-6)


def test_the_direction_is_the_one_in_which_a_better_image_lies():
    better, worse = {"a": partial(pair, 1, 180, 180)}, {"a": lambda: (pair(2, 180, 180)[1], pair(1, 180, 180)[1])}
    for good, bad in zip(measured(WEIGHTLESS, better, "cpu"), measured(WEIGHTLESS, worse, "cpu"), strict=True):
        assert (good.values[0] > bad.values[0]) == (good.better == "higher"), good.name


def test_the_colour_that_a_metric_looks_at_is_said():
    """A metric of luma ignores a change of hue at constant luma, and a metric of RGB does not."""
    found = {one.name: one for one in measured(("gmsd", "psnr"), looks((64, 64)), "cpu")}
    assert found["gmsd"].colour == "luma (yiq, full range) of RGB in [0, 1]"
    assert found["psnr"].colour == "RGB in [0, 1]"
    grey = np.full((64, 64, 3), 120, np.uint8)
    hue = grey + np.array([0, 0, 80], np.uint8) - np.array([16, 7, 0], np.uint8)  # 0.114·80 ≈ 0.299·16 + 0.587·7
    values = {one.name: one.values[0] for one in measured(("gmsd", "psnr"), {"a": lambda: (hue, grey)}, "cpu")}
    assert values["gmsd"] < 1e-6 and values["psnr"] < 30


def test_metrics_without_a_reference_look_at_the_restored_image():
    (one,) = measured(["entropy"], looks((64, 64)), "cpu")
    theirs = pyiqa.create_metric("entropy", device="cpu")
    assert one.values == pytest.approx([theirs(torch.tensor(pair(0, 64, 64)[0]).permute(2, 0, 1)[None] / 255).item()])


def test_what_is_random_is_the_same_each_time_and_disturbs_nothing(monkeypatch):
    made = pyiqa_metrics.prepare("entropy", "cpu")

    def model(restored: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(restored)) + np.random.rand()

    monkeypatch.setattr(pyiqa_metrics, "prepare", lambda name, device: replace(made, model=model))
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second = (measured(["entropy"], looks((8, 8)), "cpu")[0].values for _ in range(2))
    assert first == second
    assert torch.rand(1) == expected


def test_weights_that_cannot_be_had_are_said_and_no_number_is_made_up(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_net)
    fsim, lpips = measured(["fsim", "lpips"], looks((64, 64)), "cpu")
    assert (len(fsim.values), fsim.unavailable) == (1, None)
    assert (lpips.values, lpips.better) == ((), "lower")
    assert re.search("it cannot be created here: URLError: .*no net", lpips.unavailable or "")


def no_net(*_: object, **__: object) -> None:
    raise socket.gaierror("no net")


def test_weights_that_do_not_come_are_not_waited_for(monkeypatch):
    def create(name: str, device: object) -> None:
        time.sleep(30)

    monkeypatch.setattr(pyiqa, "create_metric", create)
    monkeypatch.setattr(pyiqa_metrics, "PATIENCE", 0.1)
    start = time.monotonic()
    (one,) = measured(["dists"], looks((8, 8)), "cpu")
    assert time.monotonic() - start < 15
    assert one.unavailable == "its weights were not downloaded within 0 s; pyiqa.create_metric('dists') fetches them"


def test_an_image_that_a_metric_does_not_take_makes_it_unavailable_and_others_not():
    ms_ssim, fsim = measured(["ms_ssim", "fsim"], looks((200, 200), (32, 40)), "cpu")
    assert ms_ssim.values == () and (ms_ssim.unavailable or "").startswith("1: ")
    assert len(fsim.values) == 2


@pytest.mark.parametrize(("value", "said"), [(torch.tensor([float("nan")]), "finite"), (torch.ones(2), "single")])
def test_what_is_no_number_for_an_image_is_none(monkeypatch, value, said):
    made = pyiqa_metrics.prepare("entropy", "cpu")

    def model(restored: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = value
        return found

    monkeypatch.setattr(pyiqa_metrics, "prepare", lambda name, device: replace(made, model=model))
    (one,) = measured(["entropy"], looks((8, 8)), "cpu")
    assert one.values == () and said in (one.unavailable or "")


def test_names_are_checked_before_anything_is_computed():
    assert choose("fsim, lpips,fsim", {}) == ("fsim", "lpips")
    assert choose("", {}) == ()
    with pytest.raises(PetlirError, match="unknown metric 'lpip'; did you mean 'lpips'"):
        choose("fsim,lpip", {})


def test_without_pyiqa_one_line_says_how_to_get_it():
    code = (
        "import sys; sys.modules['pyiqa'] = None\n"
        "from petlir.benchmark.scoring.metrics import choose; from petlir.benchmark.errors import PetlirError\n"
        "assert choose('', {}) == ()\n"
        "try: choose('lpips', {})\n"
        "except PetlirError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert "pip install 'petlir[iqa]'" in done.stdout and done.stdout.count("\n") == 1
