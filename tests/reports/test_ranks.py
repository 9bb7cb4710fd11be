"""Test plotted ranks against counting and against the definitions of the statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.reports.figures.ranks import EQUAL, MOST, equal_sizes, regrets, strips
from petlir.reports.tables import tables
from tests.helpers.samples import typed_all
from tests.reports.stores import QUALITY, TASKS, ranked_records, record, smoke_records


@pytest.fixture(scope="module")
def table():
    return tables(typed_all(ranked_records(5)), {})[0]


def test_a_smoke_run_has_no_ranks():
    for table in tables(typed_all(smoke_records()), {}):
        assert strips(table, {}) == []
        assert regrets(table, {}) is None


def test_methods_stand_in_the_order_of_their_means(table):
    drawn = strips(table, {})
    assert len(drawn) == len(TASKS)
    for strip in drawn:
        assert [one.mean for one in strip.places] == sorted((one.mean for one in strip.places), reverse=True)
        assert all(one.best <= one.rank <= one.worst for one in strip.places)
        apart = {one.label: (one.best, one.worst) for one in strip.places}
        assert apart["lora"] == (3, 3), "half a dB from its neighbours"
        assert apart["adapter"] == apart["twin"] == (1, 2), "equal but for noise"
        assert (strip.units, strip.seeds, strip.provisional) == (6, 5, False)


def test_wins_are_counted(table):
    for strip, column in zip(strips(table, {}), table.columns, strict=True):
        labels = [one.label for one in strip.places]
        assert column.ranking
        scores = [column.ranking.scores[label] for label in labels]
        for i, row in enumerate(strip.matrix):
            for j, share in enumerate(row):
                assert share == (None if i == j else pytest.approx(np.mean(scores[i] > scores[j])))
    sums = np.array([[share or 0.0 for share in row] for row in strip.matrix])
    assert np.allclose((sums + sums.T)[~np.eye(len(labels), dtype=bool)], 1.0)


def test_a_matrix_of_too_many_methods_is_left_out():
    many = [record("lora", "sr_x4", seed, label=f"lora[rank={n}]", smoke=False) for n in range(MOST + 1)
            for seed in range(5)]  # fmt: skip
    (strip,) = (s for table in tables(typed_all(many), {})[:1] for s in strips(table, {}))
    assert len(strip.places) == MOST + 1
    assert strip.matrix == ()


def test_regret_is_the_gap_to_the_best(table):
    drawn = regrets(table, {})
    assert drawn
    found = {one.label: one for one in drawn.methods}
    assert [one.mean.value for one in drawn.methods] == sorted(one.mean.value for one in drawn.methods)
    assert found["lora"].mean.value == pytest.approx(QUALITY["adapter"] - QUALITY["lora"], abs=0.05)
    assert drawn.left_out == ("least", "ssf"), "a quarter of the others' size"
    for one in drawn.methods:
        assert one.worst.value == max(regret for _, regret in one.columns)
        assert one.mean.value == pytest.approx(np.mean([regret for _, regret in one.columns]))
        assert one.mean.low <= one.mean.value <= one.mean.high


@given(st.dictionaries(st.text(max_size=3), st.floats(1, 1e6), min_size=1))
def test_no_larger_group_is_of_equal_size(sizes):
    found = equal_sizes(sizes)
    assert max(sizes[name] for name in found) <= EQUAL * min(sizes[name] for name in found)
    ordered = sorted(sizes.values())
    assert len(found) == max(sum(low <= size <= EQUAL * low for size in ordered) for low in ordered)
