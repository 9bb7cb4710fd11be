"""Test the regret relative to the best method, and its stability over columns."""

from __future__ import annotations

import numpy as np
import pytest

from petlir.benchmark.statistics import difference, regret, stability

UNITS, SEEDS = 8, 5


def column(seed: int, **levels: float) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    images = draw.normal(25, 3, (UNITS, 1))
    return {name: images + level + draw.normal(0, 0.05, (UNITS, SEEDS)) for name, level in levels.items()}


def test_against_one_rival_it_is_the_difference_cut_at_zero():
    scores = column(0, a=1.0, b=0.5)
    known = difference(scores["a"], scores["b"])
    found = regret(scores, "b")
    assert (found.value, found.low, found.high) == pytest.approx((known.mean, known.low, known.high))
    best = regret(scores, "a")
    assert (best.value, best.low, best.high) == (0.0, 0.0, 0.0)


def test_stability_is_the_worst_and_the_mean_of_fixed_columns():
    columns = {"rain": column(1, a=1.0, b=0.2, c=0.9), "noise": column(2, a=0.5, b=0.6, c=0.55)}
    found = stability(columns, "b")
    assert found is not None
    each = found.by_column
    assert found.worst.value == pytest.approx(max(one.value for one in each.values()))
    assert found.mean.value == pytest.approx((each["rain"].value + each["noise"].value) / 2)
    assert found.worst.low <= each["rain"].low <= found.worst.value <= found.worst.high
    assert found.mean.low <= found.mean.value <= found.mean.high


def test_a_method_without_one_of_the_columns_has_no_stability():
    assert stability({"rain": column(1, a=1.0), "noise": column(2, b=0.6)}, "a") is None
    assert stability({}, "a") is None


def test_the_interval_covers_the_regret_of_nearly_equal_methods():
    """The largest of several estimated differences is biased upwards; the interval must still cover the truth."""
    covered, levels = 0, {"a": 0.02, "b": 0.0, "c": 0.02, "d": 0.01}
    for seed in range(200):
        found = regret(column(seed, **levels), "b")
        covered += found.low <= 0.02 <= found.high
    assert covered >= 0.93 * 200
