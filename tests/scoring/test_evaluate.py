"""Test the scoring of restored images as they are stored."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring import evaluate as evaluate_module
from petlir.benchmark.scoring.evaluate import Evaluation, evaluate, restore_image, seconds_per_megapixel
from petlir.benchmark.scoring.psnr_ssim import psnr
from petlir.benchmark.scoring.registry import METRICS, Score
from tests.helpers.engine import draw
from tests.helpers.networks import Pointwise

RGB = ("rgb@tiles-20",)


def of(found: Evaluation, metric: str) -> list[Score]:
    return [row for row in found.rows if row.metric == metric]


def pairs(scale: int = 1) -> list[ImagePair]:
    clean = [draw([3, number], 48, 60) for number in range(3)]
    return [
        ImagePair(str(n), "scene", "set", "photographs", image[::scale, ::scale].copy(), image)
        for n, image in enumerate(clean)
    ]


def test_scores_are_of_the_stored_images(tmp_path):
    names = ("rgb@tiles-20", "y@tiles-20")
    found = evaluate(Pointwise(), ("same",), pairs(), names, tmp_path, tmp_path / "shared")
    named = [(n, p) for n in "012" for p in names]
    assert [(row.image, row.protocol) for row in of(found, "psnr")] == named
    for row in of(found, "psnr")[::2]:
        stored, clean = (
            np.asarray(PIL.Image.open(path / f"{row.image}.png"))
            for path in (tmp_path / "restored/set", tmp_path / "shared/set/clean")
        )
        assert row.value == pytest.approx(peak_signal_noise_ratio(clean, stored), abs=1e-6)
        assert (row.input, row.unit) == (math.inf, "scene")


class Centred(Pointwise):
    """A network that subtracts the mean of its input, so that tiles give other results than the whole image."""

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        return images - images.mean((-2, -1), keepdim=True) + 0.5


def test_each_way_of_restoring_has_a_protocol_and_images_of_its_own(tmp_path):
    names = ("rgb@whole", "y@whole", "rgb@tiles-24", "rgb@whole+x8")
    found = evaluate(Centred(None), ("same",), pairs(), names, tmp_path, tmp_path / "shared")
    rows = of(found, "psnr")
    assert [row.protocol for row in rows] == list(names) * 3
    assert all(one.value != other.value for one, other in zip(rows[::4], rows[2::4], strict=True))
    for row in rows:
        way = str(row.protocol).partition("@")[2]
        folder = {"whole": "restored", "tiles-24": "restored@tiles-24", "whole+x8": "restored@whole+x8"}[way]
        image = read_image(tmp_path / folder / "set" / f"{row.image}.png")
        clean = read_image(tmp_path / "shared/set/clean" / f"{row.image}.png")
        assert row.value == psnr(image, clean, protocol(str(row.protocol)))


def test_the_official_way_is_the_official_tiling(tmp_path):
    network = tiny().eval()
    pair = ImagePair("0", "scene", "set", "photographs", draw([1], 20, 16), draw([2], 20, 16))
    found = evaluate(network, ("denoise_30",), [pair], ("rgb@official",), tmp_path, tmp_path / "shared")
    (row,) = of(found, "psnr")
    image = restore_image(network, pair.degraded, ("denoise_30",), "official")
    assert row.value == pytest.approx(peak_signal_noise_ratio(pair.clean, image), abs=1e-9)
    assert (image != restore_image(network, pair.degraded, ("denoise_30",))).any()


def test_what_is_not_rounded_is_scored_before_it_is_stored(tmp_path):
    """The error is a constant fraction of a grey level: in stored images it would be zero or a whole level."""

    class Brighter(Pointwise):
        def forward(self, images: Tensor, head: str | None = None) -> Tensor:
            return images + 0.25 / 255

    grey = np.full((24, 24, 3), 100, np.uint8)
    pair = ImagePair("0", "scene", "set", "photographs", grey, grey)
    names = ("rgb-float@whole", "rgb@whole")
    found = evaluate(Brighter(None), ("same",), [pair], names, tmp_path, tmp_path / "shared")
    exact, stored = of(found, "psnr")
    assert exact.value == pytest.approx(20 * math.log10(255 / 0.25), abs=1e-3)
    assert (stored.value, exact.input) == (math.inf, math.inf)


def test_the_input_is_scored_enlarged(tmp_path):
    found = evaluate(Pointwise(), ("double",), pairs(2), ("y-crop2@tiles-20",), tmp_path / "a", tmp_path / "b")
    assert all(row.input is not None and 15 < row.input < 60 for row in of(found, "psnr"))
    with PIL.Image.open(tmp_path / "b/set/degraded/0.png") as image:
        assert image.size == (30, 24)


def test_the_digest_is_of_names_order_and_pixels(tmp_path):
    def digest(some: list[ImagePair], gain: float = 0.7) -> str:
        network = Pointwise()
        network.gain.data.fill_(gain)
        return evaluate(network, ("same",), some, RGB, tmp_path / "a", tmp_path / "b").digest

    assert digest(pairs()) == digest(pairs())
    assert len({digest(pairs()), digest(pairs()[::-1]), digest(pairs()[:2]), digest(pairs(), 0.6)}) == 4


def test_a_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "a.png"
    evaluate_module.write_png(path, draw([1], 8, 8))

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    before = path.read_bytes()
    with pytest.raises(PetlirError, match=r"^cannot write .*a.png: No space left on device; any previous file"):
        evaluate_module.write_png(path, draw([2], 8, 8))
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    assert path.read_bytes() == before


def test_time_is_per_megapixel_of_output():
    assert seconds_per_megapixel(Pointwise(), ("same", "double"), repeats=1) > 0


def test_the_input_is_scored_once_for_all_networks(tmp_path, monkeypatch):
    """The second evaluation scores only the network's outputs, and takes the scores of the inputs from the first."""
    known, asked = pairs(), []
    first = evaluate(Pointwise(), ("same",), known, RGB, tmp_path / "a", tmp_path / "s").rows

    def compute(*images: object) -> float:
        asked.append(images)
        return 0.5

    monkeypatch.setitem(METRICS, "ssim", replace(METRICS["ssim"], compute=compute))
    second = evaluate(Pointwise(), ("same",), known, RGB, tmp_path / "b", tmp_path / "s").rows
    assert len(asked) == len(known)
    assert [row.input for row in second] == [row.input for row in first]
