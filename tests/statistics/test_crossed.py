"""Against scipy where one of the two effects is missing, R's p.adjust, and simulated columns of equal methods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from benchmark.statistics import best_group, difference, separable

ZERO = np.zeros((6, 3))


@pytest.mark.parametrize("axis", [0, 1])
def test_one_effect_alone_is_the_one_sample_t_interval(axis):
    effect = np.random.default_rng(0).normal(0.3, 1.0, (6, 3)[axis])
    scores = np.broadcast_to(np.expand_dims(effect, 1 - axis), (6, 3)).copy()
    found, known = difference(scores, ZERO), stats.ttest_1samp(effect, 0.0)
    interval = known.confidence_interval(0.95)
    assert found.mean == pytest.approx(effect.mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(known.pvalue)


def test_both_effects_are_satterthwaites_sum_of_mean_squares():
    """The textbook formula, its mean squares from a two-way table worked out by hand."""
    gap = np.array([[1.0, 2.0, 4.0], [2.0, 4.0, 5.0], [6.0, 7.0, 10.0], [7.0, 9.0, 11.0]])
    rows, columns, rest = 272 / 9, 37 / 3, 2 / 9  # mean squares of 3, 2 and 6 degrees of freedom
    total = rows + columns - rest
    freedom = total**2 / (rows**2 / 3 + columns**2 / 2 + rest**2 / 6)
    half = stats.t.ppf(0.975, freedom) * (total / 12) ** 0.5
    found = difference(gap, np.zeros_like(gap))
    assert found.high - found.low == pytest.approx(2 * half)


def test_no_spread_is_certain():
    assert difference(ZERO + 1, ZERO).p == 0.0
    assert difference(ZERO, ZERO).p == 1.0


@given(arrays(float, (4, 3), elements=st.floats(-5, 5)), st.floats(-3, 3))
def test_order_and_offset_of_a_pair_change_nothing_but_the_sign(scores, offset):
    one, other = difference(scores, ZERO[:4]), difference(ZERO[:4] + offset, scores + offset)
    assert one.mean == pytest.approx(-other.mean, abs=1e-9)
    assert one.high - one.low == pytest.approx(other.high - other.low, abs=1e-6)


def test_few_seeds_are_told_apart_only_beyond_a_tenth_of_a_decibel():
    near, far = difference(ZERO + 0.09, ZERO), difference(ZERO + 0.11, ZERO)
    assert not separable(far, 0.0, seeds=2)
    assert not separable(near, 0.0, seeds=3)
    assert separable(far, 0.0, seeds=3)
    assert separable(near, 0.0, seeds=5)
    assert not separable(far, 0.2, seeds=5)


def column(level: float, draw: np.random.Generator, images: np.ndarray) -> np.ndarray:
    return images + level + draw.normal(0, 0.02, (1, images.shape[1])) + draw.normal(0, 0.03, images.shape)


def test_clear_winners_win_and_twins_tie():
    draw = np.random.default_rng(1)
    images = np.repeat(draw.normal(25, 3, (12, 1)), 5, axis=1)
    scores = {name: column(level, draw, images) for name, level in (("a", 1.0), ("b", 1.0), ("c", 0.2))}
    assert set(best_group(scores)) == {"a", "b"}


def test_equal_methods_rarely_yield_a_winner():
    draw = np.random.default_rng(2)
    false = 0
    for _ in range(100):
        images = np.repeat(draw.normal(25, 3, (15, 1)), 5, axis=1)
        group = best_group({str(name): column(0.0, draw, images) for name in range(5)})
        false += len(group) < 5
    assert false <= 10


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_covers_what_it_says(seeds):
    draw, covered = np.random.default_rng(3), 0
    for _ in range(600):
        gap = draw.normal(0, 0.1, (15, 1)) + draw.normal(0, 0.05, (1, seeds)) + draw.normal(0, 0.08, (15, seeds))
        found = difference(gap, np.zeros_like(gap))
        covered += found.low <= 0 <= found.high
    assert 0.90 <= covered / 600 <= 0.985
