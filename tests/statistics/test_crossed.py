"""Test the crossed model against scipy with one effect missing, textbook formulas with both, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from petlir.benchmark.statistics import difference, separable
from petlir.benchmark.statistics.crossed import Squares, p_value

ZERO = np.zeros((6, 3))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(6, 3), (40, 3), (5, 10)])
def test_one_effect_alone_is_the_one_sample_t_test(shape, axis):
    effect = np.random.default_rng(0).normal(0.3, 1.0, shape[axis])
    scores = np.broadcast_to(np.expand_dims(effect, 1 - axis), shape).copy()
    found, known = difference(scores, np.zeros(shape)), stats.ttest_1samp(effect, 0.0)
    interval = known.confidence_interval(0.95)
    assert found.mean == pytest.approx(effect.mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(known.pvalue)


def test_a_pair_is_the_paired_t_test_where_seeds_agree():
    draw = np.random.default_rng(1)
    a, b = draw.normal(25, 3, (2, 12, 1)) + np.zeros((1, 1, 4))
    known = stats.ttest_rel(a[:, 0], b[:, 0])
    assert difference(a, b).p == pytest.approx(known.pvalue)


def test_both_effects_without_error_are_satterthwaites_sum_of_mean_squares():
    """The textbook formula is used with as many units as seeds, so that the degrees of freedom are equal."""
    unit, seed = np.array([0.0, 1.0, 4.0, 6.0]), np.array([1.0, 2.0, 2.0, 5.0])
    gap = unit[:, None] + seed
    rows, columns = 4 * unit.var(ddof=1), 4 * seed.var(ddof=1)
    freedom = (rows + columns) ** 2 / (rows**2 / 3 + columns**2 / 3)
    half = stats.t.ppf(0.975, freedom) * ((rows + columns) / 16) ** 0.5
    found = difference(gap, np.zeros_like(gap))
    assert (found.low, found.high) == pytest.approx((gap.mean() - half, gap.mean() + half))


def test_the_p_value_solves_banerjees_equation():
    """The mean squares computed by hand are 272/9 and 37/3, with 3 and 2 degrees of freedom."""
    gap = np.array([[1.0, 2.0, 4.0], [2.0, 4.0, 5.0], [6.0, 7.0, 10.0], [7.0, 9.0, 11.0]])
    p = difference(gap, np.zeros_like(gap)).p
    right = stats.t.isf(p / 2, 3) ** 2 * 272 / 9 + stats.t.isf(p / 2, 2) ** 2 * 37 / 3
    assert gap.mean() ** 2 * 12 == pytest.approx(right)


def test_no_spread_is_certain():
    assert difference(ZERO + 1, ZERO).p == 0.0
    assert difference(ZERO, ZERO).p == 1.0


@given(arrays(float, (4, 3), elements=st.floats(-5, 5)), st.floats(-3, 3))
def test_order_and_offset_of_a_pair_change_nothing_but_the_sign(scores, offset):
    one, other = difference(scores, ZERO[:4]), difference(ZERO[:4] + offset, scores + offset)
    assert one.mean == pytest.approx(-other.mean, abs=1e-9)
    assert one.high - one.low == pytest.approx(other.high - other.low, abs=1e-6)


@given(arrays(float, (5, 3), elements=st.floats(-5, 5)), st.floats(0.1, 10))
def test_the_scale_changes_no_p_value(scores, scale):
    one, other = difference(scores, ZERO[:5]), difference(scale * scores, ZERO[:5])
    assert one.p == pytest.approx(other.p, rel=1e-3, abs=1e-6)


def test_few_seeds_are_told_apart_only_beyond_a_tenth_of_a_decibel():
    near, far = 0.09, -0.11
    assert not separable(far, 0.0, seeds=2)
    assert not separable(near, 0.0, seeds=3)
    assert separable(far, 0.0, seeds=3)
    assert separable(near, 0.0, seeds=5)
    assert not separable(far, 0.2, seeds=5)


def test_the_p_value_of_many_pairs_solves_its_equation_however_large():
    """The equation is evaluated with scipy's t distribution, for differences from 1e-3 to 1e3 times the spread."""
    draw = np.random.default_rng(2)
    squares = Squares(24, 3, *(10 ** draw.uniform(-3, 3, 2000) for _ in range(4)))
    p = p_value(squares)
    right = sum(
        stats.t.isf(p / 2, freedom) ** 2 * square for freedom, square in ((23, squares.unit), (2, squares.seed))
    )
    assert right[p > 1e-120] == pytest.approx((squares.mean**2 * 72)[p > 1e-120], rel=1e-6)
    assert (p > 1e-120).mean() > 0.9
