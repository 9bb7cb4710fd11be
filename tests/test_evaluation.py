"""Scoring restored images as they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from benchmark import evaluation
from benchmark.errors import PetlirError
from benchmark.evaluation import evaluate, seconds_per_megapixel
from benchmark.images.prepare import Pair
from tests.engine import draw
from tests.networks import Pointwise

VIEWS = ("tiles-20",)


def pairs(scale: int = 1) -> list[Pair]:
    clean = [draw([3, number], 48, 60) for number in range(3)]
    return [
        Pair(str(n), "scene", "set", "photographs", image[::scale, ::scale].copy(), image)
        for n, image in enumerate(clean)
    ]


def test_scores_are_of_the_stored_images(tmp_path):
    places = tmp_path / "restored", tmp_path / "shared"
    found = evaluate(Pointwise(), ("same",), pairs(), ("rgb", "y"), VIEWS, *places)
    named = [(n, p) for n in "012" for p in ("rgb@tiles-20", "y@tiles-20")]
    assert [(row["image"], row["protocol"]) for row in found.rows] == named
    for row in found.rows[::2]:
        stored, clean = (
            np.asarray(PIL.Image.open(path / f"{row['image']}.png"))
            for path in (tmp_path / "restored/set", tmp_path / "shared/set/clean")
        )
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, stored), abs=1e-6)
        assert row["input_psnr"] == "inf"
        assert row["unit"] == "scene"


def test_each_view_has_a_protocol_of_its_own_and_the_first_is_stored(tmp_path):
    """A network that takes off the mean of what it sees makes other images of tiles."""

    class Centred(Pointwise):
        def forward(self, images: Tensor, head: str | None = None) -> Tensor:
            return images - images.mean((-2, -1), keepdim=True) + 0.5

    found = evaluate(Centred(None), ("same",), pairs(), ("rgb",), ("whole", "tiles-24"), tmp_path / "a", tmp_path / "b")
    whole, tiles = found.rows[::2], found.rows[1::2]
    assert {row["protocol"] for row in whole} == {"rgb@whole"} and {row["protocol"] for row in tiles} == {
        "rgb@tiles-24"
    }
    assert all(one["psnr"] != other["psnr"] for one, other in zip(whole, tiles, strict=True))
    for row, pair in zip(whole, pairs(), strict=True):
        stored = np.asarray(PIL.Image.open(tmp_path / "a" / "set" / f"{row['image']}.png"))
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(pair.clean, stored), abs=1e-6)


def test_the_input_is_scored_enlarged(tmp_path):
    found = evaluate(Pointwise(), ("double",), pairs(2), ("y-crop2",), VIEWS, tmp_path / "a", tmp_path / "b")
    assert all(15 < row["input_psnr"] < 60 for row in found.rows)
    with PIL.Image.open(tmp_path / "b/set/degraded/0.png") as image:
        assert image.size == (30, 24)


def test_the_digest_is_of_names_order_and_pixels(tmp_path):
    def digest(some: list[Pair], gain: float = 0.7) -> str:
        network = Pointwise()
        network.gain.data.fill_(gain)
        return evaluate(network, ("same",), some, ("rgb",), VIEWS, tmp_path / "a", tmp_path / "b").digest

    assert digest(pairs()) == digest(pairs())
    assert len({digest(pairs()), digest(pairs()[::-1]), digest(pairs()[:2]), digest(pairs(), 0.6)}) == 4


def test_a_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "a.png"
    evaluation.write_png(path, draw([1], 8, 8))

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    before = path.read_bytes()
    with pytest.raises(PetlirError, match=r"^cannot write .*a.png: No space left on device; what stood there"):
        evaluation.write_png(path, draw([2], 8, 8))
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    assert path.read_bytes() == before


def test_time_is_per_megapixel_of_output():
    assert seconds_per_megapixel(Pointwise(), ("same", "double"), repeats=1) > 0
