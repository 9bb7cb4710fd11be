"""Test that `degrade`, `restore` and `score` accept the image sizes that the others write."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.scoring.alignment import align

SIDES = st.integers(1, 400)


@given(st.tuples(SIDES, SIDES), st.integers(2, 8))
def test_any_size_fits_at_its_scale(clean, scale):
    small = clean[0] // scale, clean[1] // scale
    if 0 in small:
        return
    enlarged = small[0] * scale, small[1] * scale
    found = align(enlarged, clean, bicubic=False, likely=scale)
    assert (found.factor, found.size) == (1, enlarged)
    assert (found.scale == 1) == (enlarged == clean)
    assert align(small, clean, bicubic=True, likely=scale).size == enlarged


def test_both_images_come_at_one_size():
    clean = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    restored, cropped = align((4, 3), (9, 7), bicubic=True).apply(np.zeros((3, 4, 3), np.uint8), clean)
    assert restored.shape == (6, 8, 3) and np.array_equal(cropped, clean[:6, :8])


@pytest.mark.parametrize(("small", "large"), [((13, 12), (28, 24)), ((30, 24), (28, 24)), ((19, 19), (28, 24))])
def test_other_sizes_are_refused(small, large):
    with pytest.raises(PetlirError, match="equal sizes are expected"):
        align(small, large, bicubic=True)
