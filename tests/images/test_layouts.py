"""Test image sets in folders: the layouts in common use, how pairs are matched, and the names of missing files."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.digests import digests
from petlir.benchmark.images.imageset import HeldImage, ImageEntry
from petlir.benchmark.images.layouts import FolderLayout, expand
from petlir.benchmark.images.listed import CataloguedIndex


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))


PAIRS = CataloguedIndex(
    "toy", "somewhere", [FolderLayout("set/clean/*", "set/noisy/*"), FolderLayout("other/clean-*", "set/noisy/*")]
)


def save(folder: Path, *names: str, side: int = 8, seed: int = 0, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (side, side, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{name}{suffix}")


def listed(**changes: object) -> CataloguedIndex:
    return CataloguedIndex("toy", "somewhere", [FolderLayout("set/*")], **changes)  # type: ignore[arg-type]


def test_names_choose_and_are_missed(tmp_path):
    save(tmp_path / "set", "c", "a", "b", "other")
    assert [entry.name for entry in listed(count=2, names=("b", "c"))(tmp_path)] == ["b", "c"]
    with pytest.raises(
        PetlirError, match=r"toy is incomplete: 4 of 6 files are missing: .*set/x1.png, .*, .*x3.png, …;"
    ):
        listed(count=6, names=("a", "b", "x1", "x2", "x3", "x4"))(tmp_path)


def test_a_count_that_is_not_met(tmp_path):
    save(tmp_path / "set", "a", "b")
    with pytest.raises(
        PetlirError, match=r"incomplete or a different set: .*set/\* has 2 images, expected 3; source: some"
    ):
        listed(count=3)(tmp_path)


def test_empty_folder_says_where_to_get_the_set(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(PetlirError, match=r"set holds no image of toy.*source: somewhere"):
        listed()(tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path):
    save(tmp_path / "set", "a")
    save(tmp_path / "set", "a", suffix=".bmp")
    with pytest.raises(PetlirError, match="have the same name"):
        listed()(tmp_path)


def test_numbers_agree_however_they_are_written(tmp_path):
    save(tmp_path / "set", "1", "02", "003")
    assert [entry.name for entry in listed(digits=2, called="n{}")(tmp_path)] == ["n01", "n02", "n03"]


def test_a_layout_that_is_whole_goes_before_one_that_is_not(tmp_path):
    save(tmp_path / "set/noisy", "a")
    save(tmp_path / "other", "clean-a", seed=1)
    (entry,) = PAIRS(tmp_path)
    sample = entry.read()
    assert sample.degraded is not None
    assert (sample.degraded != sample.clean).any()


@pytest.mark.parametrize(("clean", "noisy", "side"), [("abc", "ac", "noisy"), ("ac", "abc", "clean")])
def test_partners_that_are_missing_are_named(tmp_path, clean, noisy, side):
    save(tmp_path / "set/clean", *clean)
    save(tmp_path / "set/noisy", *noisy)
    with pytest.raises(PetlirError, match=f"toy is incomplete: 1 of . files is missing: .*set/{side}/b.png;"):
        PAIRS(tmp_path)


def test_sizes_that_do_not_match_are_named(tmp_path):
    save(tmp_path / "set/clean", "a")
    save(tmp_path / "set/noisy", "a", side=9)
    with pytest.raises(PetlirError, match=r"noisy/a.png is 9×9 pixels and its clean image .*clean/a.png is 8×8"):
        PAIRS(tmp_path)[0].read()


def test_one_set_in_two_layouts_has_the_same_names_and_units(tmp_path):
    numbers = [f"{number:03d}" for number in range(1, 101)]
    entries = []
    for layout, rain in (("ipt", "rainy"), ("edt", "rain")):
        clean = tmp_path / layout / "Rain100L" / ("norain" if layout == "edt" else "")
        save(clean, *(f"norain-{number}" for number in numbers), side=2)
        save(tmp_path / layout / "Rain100L" / rain, *(f"rain-{number}" for number in numbers), side=2, seed=1)
        entries.append(image_set("Rain100L").index(tmp_path / layout))
    save(tmp_path / "mprnet/test/Rain100L/target", *(str(int(number)) for number in numbers), side=2)
    save(tmp_path / "mprnet/test/Rain100L/input", *(str(int(number)) for number in numbers), side=2, seed=1)
    entries.append(image_set("Rain100L").index(tmp_path / "mprnet"))
    for found in entries:
        assert [entry.name for entry in found] == [f"norain-{number}" for number in numbers]
        assert [entry.unit for entry in found[:4]] == [f"Rain100-{number}" for number in ("001", "002", "003", "003")]
        assert [entry.unit for entry in found] == [entry.unit for entry in entries[0]]
    assert len({digests("Rain100L", found).named for found in entries}) == 1
    (tmp_path / "ipt/Rain100L/rainy/rain-007.png").unlink()
    (tmp_path / "ipt/Rain100L/norain-009.png").unlink()
    with pytest.raises(
        PetlirError, match=r"2 of 200 files are missing: .*norain-009.png, .*rainy/rain-007.png; source"
    ):
        image_set("Rain100L").index(tmp_path / "ipt")


def test_shrunk_images_come_with_the_layouts_that_ship_them(tmp_path):
    save(tmp_path / "benchmark/Set5/HR", "baby", "bird", "butterfly", "head", "woman", side=12)
    names = ("babyx4", "birdx4", "butterflyx4", "headx4", "womanx4")
    save(tmp_path / "benchmark/Set5/LR_bicubic/X4", *names, side=3)
    entries = image_set("Set5").index(tmp_path, scale=4)
    assert [entry.name for entry in entries] == ["baby", "bird", "butterfly", "head", "woman"]
    assert {sample.degraded.shape for entry in entries if (sample := entry.read()).degraded is not None} == {(3, 3, 3)}
    assert all(entry.degraded is None for entry in image_set("Set5").index(tmp_path))
    assert all(entry.degraded is None for entry in image_set("Set5").index(tmp_path, scale=3))


def test_ranges():
    assert expand("08..11 baby") == ("08", "09", "10", "11", "baby")


def test_an_entry_reads_nothing_before_it_is_asked(tmp_path):
    save(tmp_path / "set", "a")
    (entry,) = listed()(tmp_path)
    before = entry.clean.stamp
    save(tmp_path / "set", "a", side=9)
    assert entry.read().clean.shape == (9, 9, 3)
    assert entry.clean.stamp != before
    black = np.zeros((4, 4, 3), np.uint8)
    assert (
        ImageEntry("a", "a", HeldImage(black, "a"), HeldImage(black[:2, :2], "b"), scale=2).read().degraded is not None
    )
