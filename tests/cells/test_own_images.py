"""Test degrading and restoring a user's own images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from petlir.benchmark.cells.own_images import (
    DECODED_BYTES,
    PASSES_SHARE,
    RESTORED_BYTES,
    degrade_folder,
    restore_folder,
    restorer,
)
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.degradations.resize import enlarge
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.plugins import find
from petlir.benchmark.records.files import RECORD
from petlir.benchmark.restoration.peak_memory import LiveBytes
from petlir.benchmark.restoration.restore import MEMORY_BYTES, restore_batch, restore_image
from petlir.benchmark.store import Store
from tests.helpers.engine import PLUGIN, draw, save
from tests.helpers.networks import Pointwise


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    for number in range(2):
        save(tmp_path / "clean" / f"{number}.png", draw([number], 37, 50))
    return tmp_path / "clean"


@pytest.fixture
def finished(lab, tmp_path: Path) -> Path:
    """Return the folder of a finished cell."""
    store = lab.finished(tmp_path / "store", methods="adaptir", tasks="tiny_x2")
    (record,) = Store(store).files()
    return record.parent


@pytest.mark.parametrize("task", ["sr_x4", "hybrid_lr4_noise30", "derain_light", "low_light"])
def test_images_are_degraded_as_the_task_does(clean, tmp_path, task):
    found = find().task(task)
    assert degrade_folder(task, clean, tmp_path / "out", 3, []) == 2
    for number in "01":
        image = read_image(clean / f"{number}.png")
        height, width = (side // found.scale * found.scale for side in image.shape[:2])
        assert found.degradation is not None
        expected = found.degradation.degrade(image[:height, :width], seed_of(task, number, 3))
        assert np.array_equal(read_image(tmp_path / "out" / f"{number}.png"), expected)


def test_the_seed_decides_what_is_drawn(clean, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        degrade_folder("denoise_30", clean, tmp_path / name, seed, [])
    a, b, c = (read_image(tmp_path / name / "0.png") for name in "abc")
    assert (a == b).all()
    assert (a != c).any()


def test_an_unreadable_image_leaves_nothing(clean, tmp_path):
    (clean / "2.png").write_bytes(b"no image")
    with pytest.raises(PetlirError, match=r"2.png is not a readable image"):
        degrade_folder("denoise_30", clean, tmp_path / "out", 0, [])
    assert not (tmp_path / "out").exists()


def test_an_image_smaller_than_the_factor_is_refused(tmp_path):
    save(tmp_path / "clean" / "dot.png", draw([1], 3, 20))
    with pytest.raises(
        PetlirError, match=r"^image 'dot' in .*clean is 20×3 pixels; task 'sr_x4' expects at least 4×4$"
    ):
        degrade_folder("sr_x4", tmp_path / "clean", tmp_path / "out", 0, [])
    assert not (tmp_path / "out").exists()


def test_a_task_of_pairs_has_nothing_to_apply(clean, tmp_path):
    with pytest.raises(PetlirError, match="task 'pairs:mine' has no degradation to apply"):
        degrade_folder("pairs:mine", clean, tmp_path / "out", 0, [])


def test_bicubic_enlarges(clean, tmp_path):
    assert restore_folder(clean, tmp_path / "out", None, 3, "cpu", []) == 2
    assert np.array_equal(read_image(tmp_path / "out/1.png"), enlarge(read_image(clean / "1.png"), 3))


@pytest.mark.parametrize("named", ["", RECORD, "adapter.safetensors"])
def test_a_finished_cell_restores_what_it_restored(finished, tmp_path, named):
    """Given the images that a run degraded, `restore` writes the very images that the run stored."""
    (degraded,) = (tmp_path / "store/images/demo/tiny_x2").glob("*/small-test-x2/degraded")
    assert restore_folder(degraded, tmp_path / "out", finished / named, None, "cpu", [PLUGIN]) == 2
    for path in (finished / "restored/small-test-x2").iterdir():
        assert np.array_equal(read_image(path), read_image(tmp_path / "out" / path.name))


def test_one_image_is_enough(finished, tmp_path):
    save(tmp_path / "small.png", draw([4], 9, 14))
    assert restore_folder(tmp_path / "small.png", tmp_path / "out", finished, None, "cpu", [PLUGIN]) == 1
    assert read_image(tmp_path / "out/small.png").shape == (18, 28, 3)


def test_images_can_go_through_as_in_the_official_code(finished, tmp_path):
    image, network = draw([5], 50, 60), restorer(finished, "cpu", [PLUGIN])
    save(tmp_path / "in/a.png", image)
    restore_folder(tmp_path / "in", tmp_path / "out", finished, None, "cpu", [PLUGIN], tiling="official")
    expected = restore_image(network.network, image, network.heads, "official")
    assert np.array_equal(read_image(tmp_path / "out/a.png"), expected)
    assert (expected != restore_image(network.network, image, network.heads)).any()


def test_a_tiling_that_does_not_take_an_image_leaves_nothing(finished, tmp_path):
    for name, height in (("a", 50), ("b", 47)):
        save(tmp_path / "in" / f"{name}.png", draw([height], height, 60))
    with pytest.raises(PetlirError, match=r"^the official tiling of ipt-nano takes 48×48 at least, got 60×47$"):
        restore_folder(tmp_path / "in", tmp_path / "out", finished, None, "cpu", [PLUGIN], tiling="official")
    with pytest.raises(PetlirError, match=r"^--tiling applies to networks and cannot be combined with --bicubic$"):
        restore_folder(tmp_path / "in", tmp_path / "out", None, 2, "cpu", [], tiling="official")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("adapter", "bicubic"), [(None, None), (Path("cell"), 2)])
def test_one_way_to_restore_has_to_be_chosen(clean, tmp_path, adapter, bicubic):
    with pytest.raises(PetlirError, match="restore needs exactly one of --adapter"):
        restore_folder(clean, tmp_path / "out", adapter, bicubic, "cpu", [])


def test_what_is_no_finished_cell_is_refused(lab, finished, tmp_path):
    with pytest.raises(PetlirError, match=r"^adapter .*nowhere does not exist"):
        restorer(tmp_path / "nowhere", "cpu", [PLUGIN])
    with pytest.raises(PetlirError, match=rf"^{tmp_path} is not a cell's folder: it holds no record.json$"):
        restorer(tmp_path, "cpu", [PLUGIN])
    lab.run(tmp_path / "failed", methods="broken")
    (record,) = Store(tmp_path / "failed").files()
    with pytest.raises(PetlirError, match=r"holds a cell in state 'failed'; expected a finished cell"):
        restorer(record.parent, "cpu", [PLUGIN])


def test_a_damaged_adapter_is_named(finished):
    path = finished / "adapter.safetensors"
    content = path.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    for damaged in (content[: len(content) // 2], flipped):
        path.write_bytes(damaged)
        with pytest.raises(PetlirError, match=r"^adapter .*adapter.safetensors is missing or damaged: "):
            restorer(finished, "cpu", [PLUGIN])
    path.unlink()
    with pytest.raises(PetlirError, match=r"^adapter .*adapter.safetensors is missing or damaged: "):
        restorer(finished, "cpu", [PLUGIN])


def test_an_adapter_of_other_options_is_refused(finished):
    path = finished / RECORD
    record = json.loads(path.read_text())
    record["cell"]["options"]["hidden" if "hidden" in record["cell"]["options"] else "rank"] = 2
    path.write_text(json.dumps(record))
    with pytest.raises(PetlirError, match=r"^adapter does not fit ipt-nano: .* expected "):
        restorer(finished, "cpu", [PLUGIN])


def test_memory_for_an_image_grows_by_no_more_than_is_checked_for():
    """Memory per pixel is measured at two sizes with tiles of the same size.

    It does not exceed what the check of image headers assumes; by this check, an 8K image takes less than 6 GiB.
    """
    network = Pointwise(16)

    def peak(height: int, width: int) -> int:
        images = torch.rand(1, 3, height, width)
        with LiveBytes() as live, torch.no_grad():
            restore_batch(network, images, ["same"])[0].clamp_(0, 1).mul_(255).round_()
        most: int = live.peak
        return most

    grown = (peak(384, 512) - peak(192, 256)) / (384 * 512 - 192 * 256)
    pixels, input_and_output = 7680 * 4320, 12 + 3  # beside the tensors, the input as float32 and the result
    assert grown >= 12 and grown + input_and_output <= RESTORED_BYTES
    assert pixels * (DECODED_BYTES + RESTORED_BYTES) + PASSES_SHARE * MEMORY_BYTES < 6 * 2**30
