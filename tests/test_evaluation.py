"""Restoring images of any size, and scoring what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn

from benchmark import evaluation
from benchmark.backbone import Backbone, Block
from benchmark.errors import PetlirError
from benchmark.evaluation import evaluate, pad_to, restore, restore_image, seconds_per_megapixel, to_batch, to_image
from benchmark.images.prepare import Pair
from benchmark.trial import tiny
from tests.engine import draw

WINDOW = 20


class Pointwise(Backbone):
    """Every pixel by itself, then repeated `scale` times: a network without neighbourhood."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.window = "pointwise", WINDOW
        self.heads = {"same": 1, "double": 2, "triple": 3}
        self.gain = nn.Parameter(torch.tensor(0.7))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        scale = list(self.heads.values())[self.head_index(head)]
        self.seen.append(tuple(images.shape))
        changed = images.square() * self.gain + 0.1
        return changed.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    def blocks(self) -> Iterator[Block]:
        return iter(())

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        return self.parameters()

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        raise AssertionError


SIZES = st.integers(2, 90)


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 3), st.sampled_from(["same", "double", "triple"]))
def test_windows_give_what_the_whole_image_gives(height, width, count, head):
    network = Pointwise()
    images = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height * width))
    tiled = restore(network, images, head=head)
    windows = list(network.seen)
    assert torch.allclose(tiled, restore(network, images, head=head, tiling="whole"), atol=1e-6)
    assert all(shape[-2:] == (WINDOW, WINDOW) for shape in windows)
    assert all(shape[0] <= evaluation.WINDOWS_AT_ONCE * count for shape in windows)


@settings(deadline=None)
@given(SIZES, SIZES)
def test_a_constant_image_stays_constant(height, width):
    restored = restore(Pointwise(), torch.full((1, 3, height, width), 0.5), head="double")
    assert restored.shape == (1, 3, 2 * height, 2 * width)
    assert torch.allclose(restored, torch.full_like(restored, 0.25 * 0.7 + 0.1), atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(SIZES, SIZES)
def test_an_image_does_not_depend_on_the_others_of_its_batch(height, width):
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    network = Pointwise()
    both = restore(network, images, head="same")
    each = torch.cat([restore(network, image[None], head="same") for image in images])
    assert torch.allclose(both, each, atol=1e-6)


@pytest.mark.parametrize("size", [(12, 12), (5, 7), (13, 31), (40, 24)])
def test_a_transformer_takes_every_size(size):
    network = tiny().eval()
    assert restore(network, torch.rand(1, 3, *size), head="sr_x2").shape == (1, 3, 2 * size[0], 2 * size[1])


def test_an_image_of_one_window_is_that_window():
    network = tiny().eval()
    images = torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        assert torch.allclose(restore(network, images, head="denoise_30"), network(images, "denoise_30"), atol=1e-6)


@given(SIZES, SIZES)
def test_padding_mirrors_and_keeps_the_image(height, width):
    images = torch.rand(1, 3, height, width)
    padded = pad_to(images, 48)
    assert padded.shape[-2:] == (max(height, 48), max(width, 48))
    assert torch.equal(padded[..., :height, :width], images)
    reflected = np.pad(images.numpy(), [(0, 0), (0, 0), (0, max(0, 48 - height)), (0, max(0, 48 - width))], "reflect")
    assert np.array_equal(padded.numpy(), reflected)


def test_a_line_of_pixels_is_refused():
    with pytest.raises(PetlirError, match="an image of 1×9 is too small to restore; 2×2 at least"):
        restore(Pointwise(), torch.rand(1, 3, 9, 1), head="same")


def test_unknown_tilings_and_heads_are_named():
    with pytest.raises(PetlirError, match=r"unknown tiling 'hole'; did you mean 'whole'\?"):
        restore(Pointwise(), torch.rand(1, 3, 9, 9), head="same", tiling="hole")
    with pytest.raises(PetlirError, match=r"unknown head of pointwise 'dubble'; did you mean 'double'\?"):
        restore(Pointwise(), torch.rand(1, 3, 9, 9), head="dubble")


def test_images_and_batches_are_the_same():
    image = draw([1], 30, 40)
    assert np.array_equal(to_image(to_batch(image)), image)
    beyond = torch.tensor([-0.2, 0.5, 1.7]).view(1, 3, 1, 1)
    assert to_image(beyond).tolist() == [[[0, 128, 255]]]


def test_heads_act_one_after_the_other_in_float():
    image = draw([2], 24, 33)
    once = to_batch(image).square() * 0.7 + 0.1
    twice = (once.square() * 0.7 + 0.1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = restore_image(Pointwise(), image, ("same", "double"))
    assert np.array_equal(found, to_image(twice))


def pairs(scale: int = 1) -> list[Pair]:
    clean = [draw([3, number], 48, 60) for number in range(3)]
    return [
        Pair(str(n), "scene", "set", "photographs", image[::scale, ::scale].copy(), image)
        for n, image in enumerate(clean)
    ]


def test_scores_are_of_the_stored_images(tmp_path):
    found = evaluate(Pointwise(), ("same",), pairs(), ("rgb", "y"), tmp_path / "restored", tmp_path / "shared")
    assert [(row["image"], row["protocol"]) for row in found.rows] == [(n, p) for n in "012" for p in ("rgb", "y")]
    for row in found.rows[::2]:
        stored, clean = (
            np.asarray(PIL.Image.open(path / f"{row['image']}.png"))
            for path in (tmp_path / "restored/set", tmp_path / "shared/set/clean")
        )
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, stored), abs=1e-6)
        assert row["input_psnr"] == "inf"
        assert row["unit"] == "scene"


def test_the_input_is_scored_enlarged(tmp_path):
    found = evaluate(Pointwise(), ("double",), pairs(2), ("y-crop2",), tmp_path / "a", tmp_path / "b")
    assert all(15 < row["input_psnr"] < 60 for row in found.rows)
    with PIL.Image.open(tmp_path / "b/set/degraded/0.png") as image:
        assert image.size == (30, 24)


def test_the_digest_is_of_names_order_and_pixels(tmp_path):
    def digest(some: list[Pair], gain: float = 0.7) -> str:
        network = Pointwise()
        network.gain.data.fill_(gain)
        return evaluate(network, ("same",), some, ("rgb",), tmp_path / "a", tmp_path / "b").digest

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
