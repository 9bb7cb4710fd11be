"""Test mean ranks over columns against counting, and joint intervals against simulated methods of equal quality."""

from __future__ import annotations

import numpy as np
import pytest

from petlir.benchmark.statistics.column import compare
from petlir.benchmark.statistics.mean_rank import mean_ranks


def column(draw: np.random.Generator, spread: float, **levels: float) -> dict[str, np.ndarray]:
    images = draw.normal(25, 3, (8, 1))
    return {name: images + level + draw.normal(0, spread, (8, 5)) for name, level in levels.items()}


def test_far_apart_methods_have_exact_ranks():
    draw = np.random.default_rng(0)
    columns = {
        "rain": column(draw, 0.01, a=3.0, b=2.0, c=1.0, d=9.0),
        "noise": column(draw, 0.01, a=1.0, b=3.0, c=2.0),
    }
    found = mean_ranks(columns)
    assert found
    assert found.left_out == ("d",)
    assert found.columns == 2
    assert {name: (one.low, one.value, one.high) for name, one in found.ranks.items()} == {
        "b": (1.5, 1.5, 1.5), "a": (2.0, 2.0, 2.0), "c": (2.5, 2.5, 2.5),
    }  # fmt: skip
    assert list(found.ranks) == ["b", "a", "c"]


def test_equal_methods_may_have_every_rank():
    draw = np.random.default_rng(1)
    found = mean_ranks({name: column(draw, 0.5, a=0.0, b=0.0, c=0.0) for name in ("rain", "noise")})
    assert found
    assert {(one.low, one.high) for one in found.ranks.values()} == {(1.0, 3.0)}


def test_known_comparisons_give_the_same_ranks():
    draw = np.random.default_rng(2)
    columns = {name: column(draw, 0.5, a=0.0, b=0.4, c=0.9, d=1.0) for name in ("rain", "noise", "haze")}
    del columns["haze"]["d"]
    known = {name: compare(scores) for name, scores in columns.items()}
    assert mean_ranks(columns, known=known) == mean_ranks(columns)
    columns["haze"]["d"] = columns["haze"]["a"]
    known["haze"] = compare(columns["haze"])
    assert mean_ranks(columns, known=known) == mean_ranks(columns)


def test_intervals_hold_jointly():
    """The true mean ranks are 1 to 2 for two equal methods and 3 for a worse one; at most 6 of 60 draws miss any."""
    missed = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        found = mean_ranks({name: column(draw, 0.2, a=0.0, b=0.0, c=-0.3) for name in ("rain", "noise", "haze")})
        assert found
        ranks = found.ranks
        missed += ranks["a"].low > 1 or ranks["b"].low > 1 or ranks["c"].high < 3
    assert missed <= 6


@pytest.mark.parametrize("columns", [{}, {"rain": {"a": 1.0, "b": 2.0}}, {"rain": {"a": 1.0}, "noise": {"b": 1.0}}])
def test_fewer_than_two_columns_or_shared_methods_have_no_mean_rank(columns):
    draw = np.random.default_rng(0)
    assert mean_ranks({name: column(draw, 0.1, **levels) for name, levels in columns.items()}) is None
