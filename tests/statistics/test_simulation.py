"""Test coverage and false separations: new simulations of a few conditions, and the committed table for all."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from petlir.benchmark.statistics import compare, printable, skewed_coverage
from petlir.benchmark.statistics.conditions import COVERAGE, FALSE, HIGHEST, LOWEST, SKEWED
from petlir.benchmark.statistics.crossed import Squares, mean_squares
from petlir.benchmark.statistics.simulation import (
    SCENARIOS,
    SEEDS,
    SKEWED_EFFECTS,
    UNITS,
    Draws,
    coverage,
    coverage_beside_collapses,
    draws,
    false_separations,
    markdown,
    separated,
    squares,
)

REPEATS = 20_000
ERROR = 3 * (0.95 * 0.05 / REPEATS) ** 0.5
"""Three standard errors of a simulated coverage."""


def plain(found: Squares) -> np.ndarray:
    """Return half the width of Satterthwaite's textbook interval, with negative variance components set to zero."""
    unit, seed = np.maximum(found.unit, found.error), np.maximum(found.seed, found.error)
    total = unit + seed - found.error
    units, seeds = found.units - 1, found.seeds - 1
    freedom = total**2 / (unit**2 / units + seed**2 / seeds + found.error**2 / (units * seeds))
    half: np.ndarray = stats.t.ppf(0.975, freedom) * np.sqrt(total / found.units / found.seeds)
    return half


@pytest.mark.parametrize(("units", "seeds"), [(5, 3), (15, 5), (100, 3)])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_interval_covers_95_percent_whatever_the_effects(scenario, units, seeds):
    held = coverage(scenario, units, seeds, REPEATS).values()
    assert min(held) >= LOWEST - ERROR
    assert max(held) <= HIGHEST + ERROR


def test_the_textbook_interval_would_fail_both_ways():
    held = coverage(SCENARIOS[0], 24, 3, REPEATS, plain).values()
    assert min(held) < LOWEST - ERROR
    assert max(held) > HIGHEST + ERROR


@pytest.mark.parametrize(("units", "seeds", "repeats"), [(5, 3, 10_000), (15, 5, 10_000), (100, 5, 2000)])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_equal_methods_are_rarely_told_apart(scenario, units, seeds, repeats):
    """If the true rate were 5 %, the simulation would exceed this bound less than once in a thousand times."""
    assert false_separations(scenario, units, seeds, repeats) <= FALSE + 3 * (FALSE / repeats) ** 0.5


@pytest.mark.parametrize(("units", "seeds", "repeats"), [(5, 3, 10_000), (15, 5, 10_000), (100, 5, 2000)])
def test_skewed_effects_are_covered_as_stated_and_rarely_told_apart(units, seeds, repeats):
    held = coverage(SKEWED_EFFECTS, units, seeds, repeats).values()
    stated = skewed_coverage(units, seeds)
    assert stated is not None and 0.8 < stated < LOWEST
    assert min(held) == pytest.approx(stated, abs=3 * (0.87 * 0.13 / repeats) ** 0.5 + 0.005)
    assert false_separations(SKEWED_EFFECTS, units, seeds, repeats) <= FALSE + 3 * (FALSE / repeats) ** 0.5


@pytest.mark.parametrize(("units", "seeds"), [(5, 3), (15, 5), (24, 10)])
def test_beside_collapsed_seeds_the_interval_covers_95_percent(units, seeds):
    held = coverage_beside_collapses(units, seeds, 5000)
    assert min(held) >= LOWEST - 2 * ERROR
    assert max(held) <= HIGHEST + 2 * ERROR


def test_the_documentation_has_the_table_that_the_command_prints():
    page = (Path(__file__).parents[2] / "docs" / "measured.md").read_text()
    assert "\n".join(markdown()) in page


@pytest.mark.long
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("seeds", SEEDS)
def test_every_condition_again(units, seeds):
    for scenario in SCENARIOS:
        held = coverage(scenario, units, seeds, REPEATS).values()
        assert min(held) >= LOWEST - ERROR
        assert max(held) <= HIGHEST + ERROR
        assert false_separations(scenario, units, seeds, 10_000) <= FALSE + 3 * (FALSE / 10_000) ** 0.5
    assert false_separations(SKEWED_EFFECTS, units, seeds, 10_000) <= FALSE + 3 * (FALSE / 10_000) ** 0.5
    beside = coverage_beside_collapses(units, seeds)
    assert min(beside) >= LOWEST - 2 * ERROR
    assert max(beside) <= HIGHEST + 2 * ERROR


def test_what_is_simulated_is_what_a_column_is_told_by():
    """For each repetition, `compare` on whole tables gives the same decision as the simulation."""
    each = [draws(SCENARIOS[1], 6, 5, 40, np.random.default_rng(seed)) for seed in range(4)]
    methods = Draws(*(np.stack([getattr(one, part) for one in each]) for part in ("unit", "seed", "error")))
    methods.error[0] += 1.2  # so that some are told apart
    found = separated(methods)
    for unit, seed in [(1.0, 1.0), (4.0, 2.0), (30.0, 1000.0)]:
        by_unit = ((unit - 1) / 5) ** 0.5 * methods.unit[..., None]
        tables = methods.error + by_unit + ((seed - 1) / 6) ** 0.5 * methods.seed[:, :, None]
        known = [compare({str(i): tables[i, repeat] for i in range(4)}).apart.any() for repeat in range(40)]
        assert list(found[unit, seed]) == known
    assert 0 < found[1.0, 1.0].sum() < 40


def test_effects_are_added_as_a_table_would_add_them():
    drawn = draws(SCENARIOS[2], 6, 4, 5, np.random.default_rng(0))
    for unit, seed, found in squares(drawn):
        own = ((unit - 1) / 4) ** 0.5 * drawn.unit[:, :, None] + ((seed - 1) / 6) ** 0.5 * drawn.seed[:, None, :]
        known = mean_squares(drawn.error + own)
        for part in ("mean", "unit", "seed", "error"):
            assert getattr(found, part) == pytest.approx(getattr(known, part), rel=1e-6, abs=1e-9)


def test_the_committed_table_says_what_may_be_printed():
    with COVERAGE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    conditions = {(int(row["units"]), int(row["seeds"]), row["scenario"]) for row in rows}
    assert conditions == set(product(UNITS, SEEDS, [*(scenario.name for scenario in SCENARIOS), SKEWED]))
    for row in rows:
        if (row["scenario"] != SKEWED and float(row["lowest_coverage"]) < LOWEST) or float(
            row["highest_coverage"]
        ) > HIGHEST:
            assert not printable(int(row["units"]), int(row["seeds"]))
        assert float(row["false_separations"]) <= FALSE


def test_nothing_is_printed_below_the_simulated_numbers():
    assert printable(15, 5)
    assert printable(16, 6)
    assert printable(1000, 12)
    assert not printable(4, 5)
    assert not printable(15, 2)
