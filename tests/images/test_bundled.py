"""Test the bundled image sets: they are disjoint, verified even if cached, and available without a network."""

import numpy as np
import pytest

from petlir.benchmark.degradations import resize
from petlir.benchmark.images import procedural
from petlir.benchmark.images.bundled import LEAVES, Leaves, photographs
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.pretraining.images import FIRST_IMAGE


def test_seeds_are_disjoint_and_far_from_those_of_pretraining():
    seeds = [set(range(part.start, part.start + part.count)) for part in LEAVES.values()]
    assert sum(map(len, seeds)) == len(set.union(*seeds)) == 64 + 12 + 32
    assert max(set.union(*seeds)) < FIRST_IMAGE


def test_images_are_the_middle_of_those_of_their_seeds():
    for number, entry in enumerate(Leaves(7, 2, 24)()):
        assert (entry.clean() == procedural.leaves(7 + number, 256)[116:140, 116:140]).all()


def test_nothing_is_drawn_to_know_whether_it_has_changed(monkeypatch, tmp_path):
    before = [entry.clean.stamp for entry in (*Leaves(7, 2, 24)(), *photographs())]
    assert len(set(before)) == 6
    monkeypatch.setattr(procedural, "leaves", None)
    monkeypatch.setattr(resize, "imresize", None)
    assert [entry.clean.stamp for entry in (*Leaves(7, 2, 24)(), *photographs())] == before
    for module in (procedural, resize):
        changed = tmp_path / f"{module.__name__}.py"
        changed.write_text("OTHER = 1\n")
        monkeypatch.setattr(module, "__file__", str(changed))
    assert not set(before) & {entry.clean.stamp for entry in (*Leaves(7, 2, 24)(), *photographs())}


def test_photographs_are_four_colour_crops():
    samples = [entry.read() for entry in photographs()]
    assert [sample.clean.shape for sample in samples] == [(192, 192, 3)] * 4
    assert len({sample.unit for sample in samples}) == 4
    assert all(np.ptp(sample.clean.astype(int), axis=-1).max() > 50 for sample in samples)


@pytest.mark.parametrize("name", ["leaves-validation", "leaves-test"])
def test_sides_divide_by_all_scales(name):
    assert {side % 12 for sample in image_set(name).samples(None) for side in sample.clean.shape[:2]} == {0}
