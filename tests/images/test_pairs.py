"""Test a user's own pairs: common names of folders and files, matching by name, and images without a partner."""

import itertools
import re
import unicodedata
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.pairing import partners, side, token
from petlir.benchmark.images.pairs import PairFolder
from petlir.benchmark.images.prepare import test_pairs as pairs_of
from petlir.benchmark.images.prepare import training_pairs, validation_pairs
from petlir.tasks.pairs import PAIRS


def save(folder: Path, *names: str, side: int = 8, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (side, side + 1, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{name}.png")


def user_folder(root: Path, **parts: str) -> PairFolder:
    for part, names in parts.items():
        for holds in ("degraded", "clean"):
            save(root / part / holds, *names)
    return PairFolder(root)


def names(folder: PairFolder) -> list[str]:
    return ["".join(folder.files(part)) for part in ("train", "validation", "test")]


def test_own_pairs_with_a_validation_folder(tmp_path):
    assert names(user_folder(tmp_path, train="abc", validation="d", test="e")) == ["abc", "d", "e"]


def test_parts_are_called_as_people_call_them(tmp_path):
    assert names(user_folder(tmp_path, Training="abc", val="d", Test="e")) == ["abc", "d", "e"]


def test_without_a_validation_folder_a_fifth_is_held_out(tmp_path):
    assert names(user_folder(tmp_path, train="abcdefghij", test="k")) == ["bcdeghij", "af", "k"]


def two_folders(root: Path, *names: str) -> PairFolder:
    save(root / "Noisy", *names)
    save(root / "GT", *names)
    return PairFolder(root)


def test_two_folders_alone_are_split_and_no_pair_is_in_two_parts(tmp_path):
    folder = two_folders(tmp_path, *"abcdefghijk")
    assert names(folder) == ["cdegij", "bh", "afk"]
    assert set(folder.files("train")["c"]) == {tmp_path / "Noisy/c.png", tmp_path / "GT/c.png"}


def test_a_training_folder_alone_is_split_likewise(tmp_path):
    assert names(user_folder(tmp_path, train="abcdefghijk")) == ["cdegij", "bh", "afk"]


def test_images_of_one_scene_stay_together(tmp_path):
    shots = [f"{scene}_{number}" for scene in ("bus", "chair", "dog", "egg", "fan", "gate") for number in (1, 2)]
    folder = two_folders(tmp_path, *shots)
    train, test = ({name[:-2] for name in folder.files(part)} for part in ("train", "test"))
    assert test == {"bus", "gate"}
    assert not train & test
    frames = two_folders(tmp_path / "film", *(f"frame_{number:02}" for number in range(10)))
    assert len(frames.files("test")) == 2


@pytest.mark.parametrize("names", ["a", "ab"])
def test_too_few_pairs_cannot_be_split(tmp_path, names):
    with pytest.raises(PetlirError, match="holds too few pairs"):
        two_folders(tmp_path, *names).files("train")


HABITS = [
    ("degraded", "clean"), ("input", "target"), ("noisy", "gt"), ("low", "high"), ("lq", "hq"), ("rain", "norain"),
    ("blur", "sharp"), ("LR", "HR"), ("LR_bicubic", "GT"), ("Low", "Normal"),
]  # fmt: skip


@pytest.mark.parametrize(("lower", "upper"), HABITS)
def test_sides_are_called_as_people_call_them(tmp_path, lower, upper):
    for part, (number, holds) in itertools.product(("train", "test"), enumerate((lower, upper))):
        save(tmp_path / part / holds, "a", "b", seed=number)
    save(tmp_path / "test" / "extras", "c")
    files = PairFolder(tmp_path).files("test")
    assert list(files) == ["a", "b"]
    assert [path.parent.name for path in files["a"]] == [lower, upper]


PARTNERS = [
    ("0801", "0801x4"), ("0801", "0801_x4"), ("street_clean", "street_noisy"), ("norain-001", "rain-001"),
    ("norain001", "rain001"), ("normal00690", "low00690"), ("img_3_GT", "img_3_LQ"), ("Canon_11_mean", "Canon_11_real"),
    ("sharp 12", "blur 12"), ("tower", "tower_input"),
]  # fmt: skip


@pytest.mark.parametrize(("clean", "degraded"), PARTNERS)
def test_partners_differ_by_what_people_add(clean, degraded):
    assert partners({clean: 1, "other": 3}, {degraded: 2, "other": 4}) == {clean: (2, 1), "other": (4, 3)}


@pytest.mark.parametrize(("clean", "degraded"), [("é", "é"), ("é_clean", "é_noisy"), ("über/1", "über/1")])
def test_partners_differ_by_how_accents_are_stored(clean, degraded):
    clean, degraded = unicodedata.normalize("NFC", clean), unicodedata.normalize("NFD", degraded)
    assert clean != degraded
    assert partners({clean: 1, "other": 3}, {degraded: 2, "other": 4}) == {clean: (2, 1), "other": (4, 3)}


@pytest.mark.parametrize("name", ["lower", "highway", "cleaner_street", "box", "max4", "low", "x2", "realm", "lr"])
def test_words_that_only_begin_so_are_left_alone(name):
    assert token(name) == name


@given(st.sets(st.text("abcxlowhigh_-0123456789", min_size=1), min_size=1, max_size=6), st.randoms())
def test_equal_names_are_partners_whatever_they_are_and_order_is_nothing(found, random):
    order = sorted(found)
    random.shuffle(order)
    joined = partners({name: ("clean", name) for name in found}, {name: ("degraded", name) for name in order})
    assert joined == {name: (("degraded", name), ("clean", name)) for name in found}


def test_names_that_cannot_be_told_apart_are_refused():
    """`1_clean` and `1_gt` are equally similar to `1_noisy`; equal names are matched first."""
    assert partners({"1_clean": 1, "1_gt": 2}, {"1_noisy": 3, "1_gt": 4}) == {"1_clean": (3, 1), "1_gt": (4, 2)}
    with pytest.raises(PetlirError, match=r"a_clean, a_gt, a_noisy, … \(4 images\) have no partner"):
        partners({name: name for name in ("a_clean", "a_gt")}, {name: name for name in ("a_noisy", "a_lq")})


def test_words_of_sides():
    assert [side(word) for word in ("GT", "LR_bicubic", "photos", "norain")] == ["clean", "degraded", None, "clean"]


def test_what_is_missing_is_named(tmp_path):
    save(tmp_path / "train/clean", "a", "b")
    with pytest.raises(PetlirError, match="no folder of degraded images; expected one of degraded, input, noisy"):
        PairFolder(tmp_path).files("train")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(
        PetlirError, match=r"elsewhere holds no pairs; .* degraded images: degraded, input, noisy, .*gt"
    ):
        PairFolder(tmp_path / "elsewhere").files("test")
    save(tmp_path / "train/noisy", "a", "b")
    save(tmp_path / "train/input", "a", "b")
    with pytest.raises(PetlirError, match="train/noisy and input both look like folders of degraded images"):
        PairFolder(tmp_path).files("train")
    with pytest.raises(PetlirError, match="nowhere is missing; expected a folder of pairs"):
        PairFolder(tmp_path / "nowhere")


def write(root: Path, scale: int) -> Path:
    for part, count in (("train", 6), ("test", 2)):
        numbers = [f"{number}" for number in range(count)]
        save(root / part / "HR", *numbers, side=24 * scale, seed=len(part))
        for number in numbers:
            with PIL.Image.open(root / part / "HR" / f"{number}.png") as image:
                size = (image.width // scale, image.height // scale)
                (root / part / "LR").mkdir(exist_ok=True)
                image.resize(size).save(root / part / "LR" / f"{number}x{scale}.png")
    return root


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_folder_is_a_task_whose_scale_is_that_of_its_images(tmp_path, scale):
    folder = write(tmp_path / "My photos: + 2", scale)
    task = PAIRS.open(str(folder))
    assert re.fullmatch("pairs:My-photos-2-[0-9a-f]{8}" + (f":x{scale}" if scale > 1 else ""), task.name)
    assert task.protocols == (f"y-crop{scale}" if scale > 1 else "rgb",)
    assert task.scale == scale
    for track in ("demo", "open", "paper"):
        assert len(training_pairs(task, track, None)) == 4
        assert len(validation_pairs(task, track, None)) == 2
    pairs = pairs_of(task, "demo", None)
    assert [(pair.name, pair.set) for pair in pairs] == [("0", "My photos: + 2-test"), ("1", "My photos: + 2-test")]
    for pair in pairs:
        assert pair.clean.shape == (*(side * scale for side in pair.degraded.shape[:2]), 3)
    assert image_set(task.on("demo").train).paired
    recalled = PAIRS.recall(task.name.removeprefix("pairs:"))
    assert (recalled.name, recalled.scale, recalled.protocols) == (task.name, task.scale, task.protocols)


def test_sizes_that_do_not_match_are_named(tmp_path):
    folder = write(tmp_path / "mine", 2)
    save(folder / "train/LR", "3x2", side=24 * 2)
    with pytest.raises(
        PetlirError, match=r"3x2.png is 49×48 pixels and its clean image .*3.png is 49×48; expected equal sizes, or"
    ):
        PAIRS.open(str(folder))
    (folder / "train/LR/3x2.png").write_bytes(b"no image")
    with pytest.raises(PetlirError, match=r"3x2.png is not a readable image"):
        PAIRS.open(str(folder))


def test_folders_of_one_name_are_tasks_by_their_content(tmp_path):
    first, second = (write(tmp_path / number / "mine", 1) for number in "12")
    assert PAIRS.open(str(first)).name == PAIRS.open(str(second)).name
    save(second / "test/HR", "1", side=24, seed=9)
    edited = PAIRS.open(str(second)).name
    assert edited != PAIRS.open(str(first)).name
    (second / "test/HR/1.png").rename(second / "test/HR/2.png")
    (second / "test/LR/1x1.png").rename(second / "test/LR/2x1.png")
    assert PAIRS.open(str(second)).name != edited
