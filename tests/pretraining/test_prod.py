"""Test PROD: the number of its compositions, and that each of them is drawn with the expected frequency."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.pretraining.prod import composition, count, degrade
from petlir.benchmark.pretraining.synthetic import SYNTHETIC
from tests.helpers.engine import draw


def enumerated(functions: int) -> int:
    lengths = range(1, functions + 1)
    return sum(1 for length in lengths for _ in itertools.permutations(range(functions), length))


@pytest.mark.parametrize("functions", range(1, 8))
def test_the_formula_counts_what_enumeration_counts(functions):
    assert count(functions) == enumerated(functions)


def test_seven_functions_give_the_published_number():
    """A review of the paper reports about 137K types; Σ N!/(N-k)! is 13,699 for N = 7 and 109,600 for N = 8."""
    assert (len(SYNTHETIC), count(7), count(8)) == (7, 13_699, 109_600)


@given(st.integers(0, 2**40))
def test_a_composition_names_no_degradation_twice(seed):
    drawn = composition(list(SYNTHETIC), np.random.default_rng(seed))
    assert 1 <= len(drawn) == len(set(drawn))
    assert set(drawn) <= set(SYNTHETIC)


def test_every_composition_comes_up_and_lengths_follow_one_over_k():
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(composition("abc", rng)) for _ in range(6000))
    assert len(drawn) == enumerated(3)
    share = {1: 6 / 11, 2: 3 / 11, 3: 2 / 11}
    for length, expected in share.items():
        found = [times for kinds, times in drawn.items() if len(kinds) == length]
        assert sum(found) / 6000 == pytest.approx(expected, abs=0.03)  # 4.6 standard errors
        assert max(found) - min(found) < 7 * (sum(found) / len(found)) ** 0.5  # all orders alike


def test_low_light_is_left_out():
    """Low light must remain a task that no weights have seen."""
    assert not any("light" in kind for kind in SYNTHETIC)


def test_a_seed_decides_the_degraded_image():
    image = draw([1], 48, 52)
    once, again, other = (degrade(image, np.random.default_rng(seed), tuple(SYNTHETIC)) for seed in (5, 5, 6))
    assert once.shape == image.shape
    assert once.dtype == np.uint8
    assert (once == again).all()
    assert (once != other).any()
