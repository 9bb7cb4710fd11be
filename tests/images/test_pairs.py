"""A user's own pairs: how they are found and split, and what does not match by name."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from benchmark.errors import PetlirError
from benchmark.images.pairs import PairFolder, UserPairs


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
