"""Test the share of full fine-tuning's gain against Fieller's closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from petlir.benchmark.statistics import recovered, shares

UNITS, SEEDS = 12, 4


def fieller(own: np.ndarray, whole: np.ndarray) -> tuple[float, float]:
    """Return the two roots of (x̄ − r ȳ)² = t² (s_xx − 2 r s_xy + r² s_yy) / n, for paired samples."""
    t = stats.t.ppf(0.975, len(own) - 1)
    (xx, xy), (_, yy) = np.cov(own, whole) * t**2 / len(own)
    x, y = own.mean(), whole.mean()
    roots = np.roots([y**2 - yy, -2 * (x * y - xy), x**2 - xx])
    return float(min(roots)), float(max(roots))


def test_where_seeds_agree_it_is_fiellers_interval_of_paired_samples():
    draw = np.random.default_rng(0)
    whole = draw.normal(2.0, 0.4, UNITS)
    own = 0.6 * whole + draw.normal(0, 0.3, UNITS)
    frozen = draw.normal(25, 3, (UNITS, 1))
    over_seeds = np.zeros((1, SEEDS))
    found = recovered(frozen + own[:, None] + over_seeds, frozen + whole[:, None] + over_seeds, frozen)
    assert found is not None
    assert found.value == pytest.approx(own.mean() / whole.mean())
    assert (found.low, found.high) == pytest.approx(fieller(own, whole), abs=1e-6)


@pytest.mark.parametrize(("gain", "spread"), [(0.25, 0.01), (0.4, 1.5)])
def test_a_small_or_uncertain_gain_has_no_shares(gain, spread):
    draw = np.random.default_rng(1)
    frozen = draw.normal(25, 3, (UNITS, 1))
    full = frozen + gain + draw.normal(0, spread, (UNITS, 1)) + np.zeros((1, SEEDS))
    assert recovered(full, full, frozen) is None


def test_full_fine_tuning_recovers_all_of_its_own_gain():
    frozen = np.full((UNITS, 1), 25.0)
    full = frozen + np.random.default_rng(2).normal(1.0, 0.1, (UNITS, SEEDS))
    found = recovered(full, full, frozen)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0), abs=1e-6)


def test_the_shares_of_a_column_are_those_of_its_methods_one_by_one():
    draw = np.random.default_rng(3)
    frozen = draw.normal(25, 3, (UNITS, 1))
    full = frozen + draw.normal(2.0, 0.3, (UNITS, SEEDS))
    methods = {f"m{n}": frozen + draw.normal(n / 2, 0.3, (UNITS, SEEDS)) for n in range(5)}
    found = shares(methods, full, frozen)
    for name, method in methods.items():
        alone = recovered(method, full, frozen)
        assert alone is not None
        assert (found[name].low, found[name].value, found[name].high) == pytest.approx(
            (alone.low, alone.value, alone.high), abs=1e-12
        )
