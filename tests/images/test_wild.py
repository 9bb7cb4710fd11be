"""Test the sets in the folders and under the file names that their authors and the field's repositories use."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set, names
from petlir.benchmark.images.digests import digest_of
from petlir.benchmark.images.layouts import BLOCKS, FolderLayout
from petlir.benchmark.images.listed import CataloguedIndex


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))


def png(grey: int, width: int = 4, height: int = 4) -> bytes:
    file = BytesIO()
    PIL.Image.fromarray(np.full((height, width, 3), grey, np.uint8)).save(file, "PNG")
    return file.getvalue()


BRIGHT, DARK = png(200), png(20)


def write(root: Path, files: Iterable[str], content: bytes) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def lol() -> Iterator[tuple[str, str]]:
    """Yield the paths of the pairs of `our485` in the authors' archive, numbered from 2."""
    for number in range(2, 2 + 485):
        yield f"LOLdataset/our485/high/{number}.png", f"LOLdataset/our485/low/{number}.png"


def lol_real() -> Iterator[tuple[str, str]]:
    for number in range(690, 790):
        folder = "LOL-v2/Real_captured/Test"
        yield f"{folder}/Normal/normal{number:05d}.png", f"{folder}/Low/low{number:05d}.png"


def sidd() -> Iterator[tuple[str, str]]:
    for instance in range(1, 161):
        folder = f"SIDD_Medium_Srgb/Data/{instance:04d}_{instance % 10 + 1:03d}_S6_00100_00060_3200_L"
        for shot in ("010", "011"):
            stem = f"{folder}/{instance:04d}"
            yield f"{stem}_GT_SRGB_{shot}.PNG", f"{stem}_NOISY_SRGB_{shot}.PNG"


def rain_light() -> Iterator[tuple[str, str]]:
    for number in range(1, 201):
        yield f"RainTrainL/norain-{number}.png", f"RainTrainL/rainy/rain-{number}.png"


def rain_in_one_folder() -> Iterator[tuple[str, str]]:
    for number in range(1, 201):
        yield f"RainTrainL/norain-{number}.png", f"RainTrainL/rain-{number}.png"


def rain_of_its_authors() -> Iterator[tuple[str, str]]:
    for number in range(1, 101):
        folder = "rain_data_test_Light"
        yield f"{folder}/norain/norain-{number}.png", f"{folder}/rain/X2/norain-{number}x2.png"


PAIRS: list[tuple[str, Callable[[], Iterator[tuple[str, str]]], str, str]] = [
    ("LOLv1-train", lol, "10", "10"),
    ("LOLv2-real-test", lol_real, "normal00690", "normal00690"),
    ("SIDD-train", sidd, "0001_002_S6_00100_00060_3200_L-0001-010", "SIDD-002"),
    ("RainTrainL", rain_light, "norain-1", "norain-1"),
    ("RainTrainL", rain_in_one_folder, "norain-1", "norain-1"),
    ("Rain100L", rain_of_its_authors, "norain-001", "Rain100-001"),
]


@pytest.mark.parametrize(("name", "files", "first", "unit"), PAIRS)
def test_pairs(tmp_path, name, files, first, unit):
    clean, degraded = zip(*files(), strict=True)
    write(tmp_path, clean, BRIGHT)
    write(tmp_path, degraded, DARK)
    entries = image_set(name).index(tmp_path)
    assert (len(entries), entries[0].name, entries[0].unit) == (len(clean), first, unit)
    assert {entry.clean.where for entry in entries} == {str(tmp_path / path) for path in clean}
    lower = {entry.clean.where: entry.degraded.where for entry in entries if entry.degraded}
    assert lower == {str(tmp_path / one): str(tmp_path / other) for one, other in zip(clean, degraded, strict=True)}
    sample = entries[-1].read()
    assert sample.degraded is not None
    assert (sample.clean.max(), sample.degraded.max()) == (200, 20)
    (tmp_path / degraded[7]).unlink()
    (tmp_path / clean[9]).unlink()
    with pytest.raises(PetlirError, match=f"{name} is incomplete: 2 of {2 * len(clean)} files are missing") as caught:
        image_set(name).index(tmp_path)
    assert str(tmp_path / degraded[7]) in str(caught.value)
    assert str(tmp_path / clean[9]) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "folder", "digits", "count"), [("DIV2K", "DIV2K_train", 4, 800), ("Flickr2K", "Flickr2K", 6, 2650)]
)
def test_clean_images_and_the_shrunk_ones_beside_them(tmp_path, name, folder, digits, count):
    numbers = [f"{number:0{digits}d}" for number in range(1, count + 1)]
    write(tmp_path, (f"{name}/{folder}_HR/{number}.png" for number in numbers), BRIGHT)
    write(tmp_path, (f"{name}/{folder}_LR_bicubic/X2/{number}x2.png" for number in numbers), png(20, 2, 2))
    assert [entry.name for entry in image_set(name).index(tmp_path)] == numbers
    entries = image_set(name).index(tmp_path, scale=2)
    sample = entries[41].read()
    assert sample.degraded is not None
    assert (sample.name, sample.clean.shape, sample.degraded.shape) == (numbers[41], (4, 4, 3), (2, 2, 3))
    for number in (numbers[5], numbers[99]):
        (tmp_path / name / f"{folder}_HR" / f"{number}.png").unlink()
    with pytest.raises(
        PetlirError, match=f"2 of {count} files are missing: .*_HR/{numbers[5]}.png, .*{numbers[99]}.png;"
    ):
        image_set(name).index(tmp_path)


def test_a_truncated_file_among_hundreds_is_named(tmp_path):
    write(tmp_path, (f"DIV2K/DIV2K_train_HR/{number:04d}.png" for number in range(1, 801)), BRIGHT)
    (tmp_path / "DIV2K/DIV2K_train_HR/0417.png").write_bytes(BRIGHT[:50])
    with pytest.raises(PetlirError, match=r"DIV2K_train_HR/0417.png is not a readable image: .*") as caught:
        digest_of(image_set("DIV2K"), tmp_path)
    assert "\n" not in str(caught.value)


def test_training_and_validation_images_in_one_folder_are_told_apart(tmp_path):
    write(tmp_path, (f"DIV2K/DIV2K_train_HR/{number:04d}.png" for number in range(1, 901)), BRIGHT)
    assert len(image_set("DIV2K").index(tmp_path)) == 800
    assert [entry.name for entry in image_set("DIV2K-valid").index(tmp_path)][::99] == ["0801", "0900"]


LAYOUTS = [
    pytest.param(name, layout, id=f"{name} {layout.clean}")
    for name in names()
    if isinstance(image_set(name).find, CataloguedIndex)
    for layout in image_set(name).find.layouts  # type: ignore[attr-defined]
    if not layout.clean.endswith(BLOCKS)
]


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_every_layout_of_every_set_loads_and_no_other_takes_it(tmp_path, name, layout: FolderLayout):
    """Three images are written, under the set's own names if it has any, else as `one`, `two` and `three`."""
    listed = image_set(name).find
    assert isinstance(listed, CataloguedIndex)
    stars = list(listed.names or ("one", "two", "three"))[:3]
    if listed.units:
        stars = [f"Canon_{unit}_{number}" for number, unit in enumerate(sorted(listed.units)[:3])]
    small = replace(listed, count=3, names=stars if listed.names else None)
    for star in stars:
        keys = iter([star] * layout.clean.count("*"))
        upper = "".join(next(keys) if letter == "*" else letter for letter in layout.clean)
        write(tmp_path, [f"{upper}.png"], BRIGHT)
        if layout.degraded:
            keys = iter([star] * layout.degraded.count("*"))
            lower = "".join(next(keys) if letter == "*" else letter for letter in layout.degraded)
            write(tmp_path, [f"{lower}.png"], DARK)
    entries = small(tmp_path)
    assert len(entries) == 3
    for entry in entries:
        sample = entry.read()
        assert sample.clean.max() == 200
        assert (sample.degraded is not None) == image_set(name).paired
        assert sample.degraded is None or sample.degraded.max() == 20
