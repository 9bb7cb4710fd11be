"""Test win probabilities against the closed form for normal effects and against hand counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from petlir.benchmark.statistics import wins


def test_they_are_the_share_of_cells_won_a_draw_counting_half():
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = wins({"a": a, "b": np.array([[0.0, 2.0], [5.0, 1.0]])})
    assert found == {("a", "b"): 0.625, ("b", "a"): 0.375}


def test_a_pair_is_compared_on_the_seeds_that_both_have():
    some, none = np.array([[2.0, np.nan]]), np.array([[np.nan, 0.0]])
    found = wins({"a": np.array([[1.0, 1.0]]), "b": some, "c": none})
    assert (found["b", "a"], found["a", "c"]) == (1.0, 1.0)
    assert np.isnan(found["b", "c"])


def test_of_normal_effects_it_is_the_normal_probability_of_a_new_scene_and_seed():
    """The closed form is Phi(mean / sqrt(sum of the three variances)); over 5,000 tables, the estimate is unbiased."""
    draw = np.random.default_rng(0)
    unit, seed, error = 0.6, 0.3, 0.5
    gaps = 0.4 + draw.normal(0, unit, (5000, 6, 1)) + draw.normal(0, seed, (5000, 1, 3))
    gaps = gaps + draw.normal(0, error, (5000, 6, 3))
    found = [wins({"a": gap, "b": np.zeros((6, 3))})["a", "b"] for gap in gaps]
    known = stats.norm.cdf(0.4 / (unit**2 + seed**2 + error**2) ** 0.5)
    assert np.mean(found) == pytest.approx(known, abs=4 * np.std(found) / 5000**0.5)


def test_it_agrees_with_scipys_count_of_positive_differences():
    """With one seed, the probability is the share of positive differences, the statistic of the sign test."""
    draw = np.random.default_rng(1)
    a, b = draw.normal(25, 3, (2, 40, 1))
    positive = int((a > b).sum())
    assert wins({"a": a, "b": b})["a", "b"] == stats.binomtest(positive, 40).statistic
