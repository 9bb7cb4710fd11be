"""Folders of images and of pairs: what does not match is named, the first offender first."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from benchmark.errors import PetlirError
from benchmark.images.folders import CleanFolder, PairedFolders
from benchmark.images.imageset import Sample, digest
from benchmark.images.pairs import PairFolder, UserPairs

PAIRS = PairedFolders("set/noisy", ("set/clean", "other/clean"), "somewhere")


def save(folder: Path, *names: str, side: int = 8, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (side, side, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{name}.png")


def user_folder(root: Path, **parts: str) -> PairFolder:
    for part, names in parts.items():
        for side in ("degraded", "clean"):
            save(root / part / side, *names)
    return PairFolder(root)


def test_clean_folder_takes_its_part(tmp_path):
    save(tmp_path / "set", "c", "a", "b")
    load = CleanFolder("set", "somewhere", lambda names: names[1:])
    assert [sample.name for sample in load(tmp_path)] == ["b", "c"]


def test_empty_folder_says_where_to_get_the_set(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(PetlirError, match=r"holds no image.*get it: somewhere"):
        CleanFolder("set", "somewhere")(tmp_path)


def test_pairs_fall_back_to_the_other_clean_folder(tmp_path):
    save(tmp_path / "set/noisy", "a")
    save(tmp_path / "other/clean", "a", seed=1)
    (sample,) = PAIRS(tmp_path)
    assert sample.degraded is not None
    assert (sample.degraded != sample.clean).any()


@pytest.mark.parametrize(("clean", "noisy", "offender"), [("abc", "ac", "b"), ("ac", "abc", "b"), ("ab", "cd", "a")])
def test_names_that_do_not_match_are_named(tmp_path, clean, noisy, offender):
    save(tmp_path / "set/clean", *clean)
    save(tmp_path / "set/noisy", *noisy)
    with pytest.raises(PetlirError, match=f"{offender}.png has no partner"):
        PAIRS(tmp_path)


def test_sizes_that_do_not_match_are_named(tmp_path):
    save(tmp_path / "set/clean", "a")
    save(tmp_path / "set/noisy", "a", side=9)
    with pytest.raises(PetlirError, match=r"noisy/a.png is 9×9 pixels, its clean image .*clean/a.png 8×8"):
        PAIRS(tmp_path)


def test_own_pairs_with_a_validation_folder(tmp_path):
    folder = user_folder(tmp_path, train="abc", validation="d", test="e")
    parts = [[sample.name for sample in folder.samples(part)] for part in ("train", "validation", "test")]
    assert parts == [["a", "b", "c"], ["d"], ["e"]]


def test_without_a_validation_folder_a_fifth_is_held_out(tmp_path):
    folder = user_folder(tmp_path, train="abcdefghij", test="k")
    validation, train = (
        {sample.name for sample in folder.samples("validation")},
        {sample.name for sample in folder.samples("train")},
    )
    assert validation == {"a", "f"}
    assert train == set("bcdeghij")


def test_one_training_pair_cannot_be_split(tmp_path):
    with pytest.raises(PetlirError, match="holds one pair"):
        user_folder(tmp_path, train="a").samples("train")


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_catalogue_reads_the_pairs_folder(tmp_path, part):
    user_folder(tmp_path / "pairs", train="ab", validation="c", test="d")
    assert UserPairs(part)(tmp_path)


def test_missing_side_is_named(tmp_path):
    save(tmp_path / "train/clean", "a", "b")
    with pytest.raises(PetlirError, match="train/degraded is not a folder"):
        PairFolder(tmp_path).samples("train")


def test_digest_sees_names_pixels_and_degraded():
    black, white = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)
    samples = [
        Sample("a", "a", black),
        Sample("b", "a", black),
        Sample("a", "a", white),
        Sample("a", "a", black.reshape(3, 2, 3)),
        Sample("a", "a", black, white),
        Sample("a", "a", black, black),
    ]
    assert len({digest([sample]) for sample in samples}) == len(samples)
