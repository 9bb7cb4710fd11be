"""Test alpha spending, and the rate of false separations of one pair that is analysed several times."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from petlir.benchmark.statistics import compare, planned, spend


def test_it_is_the_obrien_fleming_type_function_of_lan_and_demets():
    """The table gives the alpha spent at five equally spaced analyses by Lan and DeMets' function, two-sided 0.05."""
    spent = np.cumsum([analysis.share * 0.05 for analysis in spend((2, 4, 6, 8, 10))])
    assert spent == pytest.approx([0.00001, 0.00194, 0.01140, 0.02843, 0.05], abs=5e-5)


def test_one_look_spends_all():
    (only,) = spend((5,))
    assert only.share == pytest.approx(1.0)


def test_looks_grow_by_half():
    assert planned(3, 10) == (3, 5, 8, 10)
    assert planned(3, 3) == (3,)
    assert planned(5, 6) == (5, 6)


def test_stopping_when_it_shows_finds_nothing_where_there_is_nothing():
    """Seeds are added to pairs of equal methods until they separate: at most 5 % do, more with plain t tests."""
    analyses = spend((3, 5, 8, 10))
    gaps = np.random.default_rng(0).normal(size=(20_000, 10))
    p = np.stack([stats.ttest_1samp(gaps[:, : analysis.seeds], 0.0, axis=1).pvalue for analysis in analyses])
    shares = np.array([[analysis.share] for analysis in analyses])
    assert 0.035 <= (p <= 0.05 * shares).any(axis=0).mean() <= 0.05
    assert (p <= 0.05).any(axis=0).mean() > 0.09


def test_what_was_told_apart_early_stays_apart_without_further_seeds():
    draw = np.random.default_rng(1)
    images = draw.normal(25, 3, (8, 1))
    scores = {name: images + level + draw.normal(0, 0.002, (8, 10)) for name, level in (("a", 1), ("b", 1), ("c", 0))}
    scores["c"][:, 5:] = np.nan
    found = compare(scores, analyses=spend((5, 8, 10)))
    assert found.analyses == 3
    assert found.pair("a", "c").apart
    assert found.pair("a", "c").seeds == 5
    assert found.pair("a", "b").seeds == 10
    assert found.tied() == found.order[:2]
