"""Test tasks with a limited number of training images: the count, nested subsets, and nothing else changed."""

from dataclasses import replace
from itertools import pairwise

import pytest

from petlir.benchmark.cells.context import Context
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.prepare import data_digest, training_pairs
from petlir.benchmark.task import Data
from petlir.tasks.derain_heavy import DERAIN_HEAVY
from petlir.tasks.mixture import MIXTURE
from tests.helpers.engine import draw, save

COUNTS = (16, 32, 64, 128, 256)


@pytest.fixture
def folder(tmp_path):
    for number in range(7):
        save(tmp_path / "own" / f"{number}.png", draw([number]))
    return tmp_path


def test_fewer_are_among_more(folder):
    names = [[e.name for e in image_set(f"first:{count}:folder:own").index(folder)] for count in range(1, 8)]
    assert [len(some) for some in names] == [*range(1, 8)]
    assert all(set(some) < set(more) for some, more in pairwise(names))
    assert names[-1] == [entry.name for entry in image_set("folder:own").index(folder)]


def test_more_than_there_are_is_one_line(folder):
    with pytest.raises(PetlirError, match=r"^own has 7 images; 8 were requested$"):
        image_set("first:8:folder:own").index(folder)
    with pytest.raises(PetlirError, match=r"^1001 dead-leaves images were requested; expected at most 1000$"):
        image_set("first:1001:leaves-train")


def test_dead_leaves_are_drawn_beyond_the_sets_own_number():
    known = {entry.name for entry in image_set("leaves-train").index(None)}
    found = [{entry.name for entry in image_set(f"first:{count}:leaves-train").index(None)} for count in COUNTS]
    assert [len(names) for names in found] == [*COUNTS]
    assert found[0] < found[1] < known == found[2] < found[3] < found[4]
    held_out = {e.name for part in ("validation", "test") for e in image_set(f"leaves-{part}").index(None)}
    assert not held_out & {entry.name for entry in image_set("first:1000:leaves-train").index(None)}


def test_the_option_changes_what_is_trained_on_and_nothing_else(folder):
    other = DERAIN_HEAVY.varied({"images": "3", "train": "Rain13K"})
    assert (other.label, other.on("paper").train) == ("derain_heavy[train=Rain13K; images=3]", "first:3:Rain13K")
    few = DERAIN_HEAVY.varied({"images": "3"})
    assert few.on("demo").tests == DERAIN_HEAVY.on("demo").tests
    assert Context().plugins.task(few.label) == few
    every = replace(DERAIN_HEAVY, data={"demo": replace(DERAIN_HEAVY.on("demo"), train="folder:own")})
    few = every.varied({"images": "3"})
    pairs = [training_pairs(task, "demo", folder) for task in (few, every)]
    assert [len(found) for found in pairs] == [3, 7]
    few_content, every_content = ({tuple(map(bytes, pair)) for pair in found} for found in pairs)
    assert few_content < every_content
    assert data_digest(few, "demo", folder) != data_digest(every, "demo", folder)


def test_joined_sets_and_mixtures_share():
    joined = Data("a+b+c", "v", ("t",))
    assert joined.of_first(7).train == "first:3:a+first:2:b+first:2:c"
    assert joined.of_first(2).training_sets == ("first:1:a", "first:1:b")
    few = MIXTURE.varied({"images": "5"})
    assert {part.label.partition("[")[2] for part in few.parts} == {"images=5]"}
    assert few.on("demo").train == "first:5:leaves-train"


@pytest.mark.parametrize("count", ["0", "-1", "many", "1.5"])
def test_a_count_that_is_none_is_one_line(count):
    with pytest.raises(PetlirError, match=r"low_light\[images\]=.*: expected a positive whole number of training"):
        Context().plugins.task(f"low_light[images={count}]")
