"""Test collapsed seeds: the rule, and the comparisons without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from petlir.benchmark.statistics import collapsed, compare, difference, uncollapsed
from petlir.benchmark.statistics.collapse import collapsed_each
from petlir.benchmark.statistics.columns import collapsed_seeds, never_rankable, tables

UNITS = 6


def table(*means: float) -> np.ndarray:
    """Return a table of seeds with these means, on images that differ."""
    images = np.random.default_rng(0).normal(0, 3, (UNITS, 1))
    found: np.ndarray = images - images.mean() + np.array(means)
    return found


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((30.0, 30.1, 29.9, 30.0, 12.0), [False, False, False, False, True]),
        ((30.0, 30.1, 29.9, 30.0, 29.1), [False] * 5),  # less than 1 dB below
        ((30.0, 31.0, 29.0, 30.5, 26.0), [False] * 5),  # less than 5 deviations below: the seeds differ as much
        ((30.0, 30.1, 29.9, 30.0, 42.0), [False] * 5),  # far above
        ((30.0, 12.0), [False] * 2),  # of two seeds none is the usual one
        ((30.0, 30.0, 28.0, np.nan), [False, False, True, False]),  # a seed without a run
    ],
)
def test_a_seed_is_collapsed_far_below_the_median_of_its_method(means, expected):
    assert collapsed(table(*means)).tolist() == expected


def test_methods_are_compared_on_the_seeds_that_did_not_collapse():
    draw = np.random.default_rng(1)
    one = table(30.0, 30.0, 30.0, 30.0, 9.0) + draw.normal(0, 0.01, (UNITS, 5))
    other = table(29.5, 29.5, 29.5, 29.5, 29.5) + draw.normal(0, 0.01, (UNITS, 5))
    pair = compare(uncollapsed({"one": one, "other": other})).pair("one", "other")
    assert (pair.better, pair.seeds, pair.apart) == ("one", 4, True)
    assert pair.difference == difference(one[:, :4], other[:, :4])


def test_a_column_counts_its_collapsed_seeds_and_has_no_scores_of_them():
    scores = {"steady": table(30.0, 30.1, 30.2), "shaky": table(30.0, 30.1, 20.0)}
    rows = pd.DataFrame(
        {"label": label, "seed": seed + 1, "unit": unit, "image": unit, "psnr": values[unit, seed]}
        for label, values in scores.items()
        for unit in range(UNITS)
        for seed in range(3)
    )
    assert collapsed_seeds(rows) == {"shaky": (3,)}
    found = tables(rows, 3)
    assert np.isnan(found["shaky"]).all(axis=0).tolist() == [False, False, True]
    assert np.isfinite(found["steady"]).all()


def test_collapsed_seeds_of_all_methods_are_those_of_each():
    draw = np.random.default_rng(1)
    scores = 30 + draw.normal(0, 0.1, (4, UNITS, 5))
    scores[0, :, 2] -= 9  # collapsed
    scores[1, :, 4] = np.nan  # did not run
    scores[2, 0, 3], scores[2, 0, 1] = np.nan, -99  # a unit that one seed lacks counts for none
    scores[3] = np.nan
    expected = np.array([collapsed(scores[0]), collapsed(scores[1]), collapsed(scores[2, 1:]), np.zeros(5, bool)])
    assert (collapsed_each(scores) == expected).all()
    assert expected.sum() == 1


@pytest.mark.parametrize(("scenes", "said"), [(4, "a column with 4 scenes is never ranked"), (5, ""), (0, "")])
def test_too_few_scenes_are_never_ranked(scenes, said):
    found = never_rankable(pd.DataFrame({"unit": range(scenes), "psnr": 30.0}))
    assert found.startswith(said)
    assert bool(found) == bool(said)
