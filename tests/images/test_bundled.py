"""The bundled sets: disjoint, cached without trusting the cache, and there without a network."""

import numpy as np
import pytest

from benchmark.degradation import Image
from benchmark.images import procedural
from benchmark.images.bundled import LEAVES, Leaves, photographs
from benchmark.images.catalogue import image_set
from benchmark.pretraining.images import FIRST_IMAGE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pixels(leaves: Leaves) -> list[Image]:
    return [entry.clean() for entry in leaves()]


def test_seeds_are_disjoint_and_far_from_those_of_pretraining():
    seeds = [set(range(part.first, part.first + part.count)) for part in LEAVES.values()]
    assert sum(map(len, seeds)) == len(set.union(*seeds)) == 64 + 12 + 32
    assert max(set.union(*seeds)) < FIRST_IMAGE


def test_images_are_the_middle_of_those_of_their_seeds():
    for number, image in enumerate(pixels(Leaves(7, 2, 24))):
        assert (image == procedural.leaves(7 + number, 256)[116:140, 116:140]).all()


def test_the_second_time_nothing_is_drawn(cache, monkeypatch):
    first = pixels(Leaves(7, 2, 24))
    monkeypatch.setattr(procedural, "leaves", None)
    assert all((a == b).all() for a, b in zip(first, pixels(Leaves(7, 2, 24)), strict=True))
    assert [path.suffix for path in cache.iterdir()] == [".npy"]


@pytest.mark.parametrize("keep", [0, 60, 500])
def test_a_corrupt_cache_is_drawn_anew(cache, keep):
    first = pixels(Leaves(7, 2, 24))
    file = next(cache.iterdir())
    file.write_bytes(file.read_bytes()[:keep])
    assert all((a == b).all() for a, b in zip(first, pixels(Leaves(7, 2, 24)), strict=True))
    assert np.load(file).shape == (2, 24, 24, 3)


def test_other_code_is_another_cache(cache, monkeypatch, tmp_path):
    pixels(Leaves(7, 1, 24))
    changed = tmp_path / "procedural.py"
    changed.write_text("other code")
    monkeypatch.setattr(procedural, "__file__", str(changed))
    pixels(Leaves(7, 1, 24))
    assert len(list(cache.iterdir())) == 2


def test_works_without_a_cache_that_can_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "file"))
    assert len(pixels(Leaves(7, 2, 24))) == 2


def test_photographs_are_four_colour_crops():
    samples = [entry.read() for entry in photographs()]
    assert [sample.clean.shape for sample in samples] == [(192, 192, 3)] * 4
    assert len({sample.unit for sample in samples}) == 4
    assert all(np.ptp(sample.clean.astype(int), axis=-1).max() > 50 for sample in samples)


@pytest.mark.parametrize("name", ["leaves-validation", "leaves-test"])
def test_sides_divide_by_all_scales(name):
    assert {side % 12 for sample in image_set(name).samples(None) for side in sample.clean.shape[:2]} == {0}
