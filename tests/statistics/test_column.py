"""Test comparisons of all pairs in a column: ties, ranks, wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.statistics import compare, difference, holm

UNITS, SEEDS = 8, 5


def column(*levels: float, spread: float = 0.01, seed: int = 0) -> dict[str, np.ndarray]:
    """Return scores of methods a, b, c … that differ by these levels, on images that differ much more."""
    draw = np.random.default_rng(seed)
    images = draw.normal(25, 3, (UNITS, 1))
    return {chr(97 + i): images + level + draw.normal(0, spread, (UNITS, SEEDS)) for i, level in enumerate(levels)}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_an_adjusted_p_value_is_below_alpha_where_holms_steps_reject(p, alpha):
    """Holm 1979: reject the smallest p value as long as it is at most alpha divided by the number of remaining ones."""
    left = sorted(range(len(p)), key=lambda i: p[i])
    while left and p[left[0]] * len(left) <= alpha:
        left.pop(0)
    assert [adjusted > alpha for adjusted in holm(p)] == [index in left for index in range(len(p))]


def test_what_lies_far_apart_has_one_rank_each():
    found = compare(column(0.0, 2.0, 1.0))
    assert found.order == ("b", "c", "a")
    assert found.ranks() == {"b": (1, 1), "c": (2, 2), "a": (3, 3)}
    assert found.tied() == ("b",)


def test_a_tie_shares_its_ranks():
    found = compare(column(1.0, 1.0, 0.0, 0.0, 2.0))
    assert found.ranks() == {"e": (1, 1), "a": (2, 3), "b": (2, 3), "c": (4, 5), "d": (4, 5)}
    assert found.tied() == ("e",)


@given(st.integers(0, 50), st.floats(0, 0.3))
def test_ties_ranks_and_pairs_say_the_same(seed, spread):
    found = compare(column(0.0, 0.1, 0.2, 0.3, spread=spread, seed=seed))
    ranks = found.ranks()
    assert all(low <= place <= high for place, (low, high) in enumerate((ranks[n] for n in found.order), 1))
    for pair in found.pairs:
        assert pair.difference.mean >= 0
        assert pair.adjusted_p >= pair.difference.p
        assert not pair.apart or (ranks[pair.worse][0] > 1 and ranks[pair.better][1] < len(found.order))
    assert set(found.tied()) == {
        n for n in found.order if n == found.order[0] or not found.pair(found.order[0], n).apart
    }


def test_a_pair_is_compared_on_the_seeds_that_both_have():
    scores = column(1.0, 0.0)
    scores["b"][:, 3:] = np.nan
    found = compare(scores)
    known = difference(scores["a"][:, :3], scores["b"][:, :3])
    assert found.pair("b", "a").difference == known
    assert found.pairs == (found.pair("a", "b"),)
    assert found.seeds == 3
    assert found.provisional


def test_what_cannot_be_told_from_the_best_is_tied_with_it():
    assert set(compare(column(1.0, 1.0, 0.0)).tied()) == {"a", "b"}


@pytest.mark.parametrize(("gap", "seeds", "apart"), [(0.019, 5, False), (0.021, 5, True), (0.021, 4, False)])
def test_what_no_one_sees_is_not_told_apart_however_certain_it_is(gap, seeds, apart):
    scores = {name: table[:, :seeds] for name, table in column(gap, 0.0, spread=1e-5).items()}
    assert compare(scores).pairs[0].apart is apart
