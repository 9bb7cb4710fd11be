"""Test the doubling test: its decision, its effect on the ranking, and its identical wording everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from petlir.benchmark.cells.learning_rate import export
from petlir.benchmark.cells.selection import COMMITTED, Half, RateSelection
from petlir.benchmark.commands.listing import LISTS
from petlir.benchmark.commands.lists import as_markdown
from petlir.benchmark.plugins import find
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.records.stored_forms import TunedCell
from petlir.benchmark.statistics.convergence import FEWEST_METHODS, LIMIT, RULE, Convergence, converged, half_of
from petlir.reports.answer import ranks
from petlir.reports.export import csv
from petlir.reports.results import Table
from petlir.reports.tables import tables
from tests.helpers import samples
from tests.helpers.samples import typed_all
from tests.reports.stores import doubling, record

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("change", "converged"),
    [(0.0, True), (0.099, True), (-0.099, True), (0.101, False), (-0.101, False), (3.0, False), (-3.0, False)],
)
def test_a_change_below_a_tenth_of_a_decibel_is_converged_a_rise_or_a_fall(change, converged):
    assert Convergence(24.0 + change, 24.0).converged is converged


def test_the_limit_itself_is_not_converged():
    assert not Convergence(LIMIT, 0.0).converged
    assert not Convergence(-LIMIT, 0.0).converged


@pytest.mark.parametrize(
    ("what", "half", "psnr"),
    [("adapter on low light, still rising", 18.51, 19.39), ("colora on low light, falling at the end", 18.90, 18.47)],
)
def test_the_cases_of_the_audit_have_not_converged(what, half, psnr):
    assert not Convergence(psnr, half).converged


def test_a_half_trial_that_diverged_is_not_converged():
    lost = Convergence(24.0, None)
    assert (lost.converged, lost.change, str(lost)) == (False, None, "diverged at half the steps")


@pytest.mark.parametrize(("steps", "half"), [(40, 20), (41, 21), (1, 1)])
def test_half_is_rounded_up(steps, half):
    assert half_of(steps) == half


@pytest.mark.parametrize("flag", [True, False, None])
def test_a_record_older_than_the_test_is_read_and_not_tested(tmp_path, flag):
    old: dict[str, Any] = samples.record(converged=flag)
    del old["convergence"]
    (tmp_path / RECORD).write_text(json.dumps(old))
    assert converged(read_record(tmp_path / RECORD).convergence) is None
    assert converged(samples.typed(samples.record()).convergence) is True


def test_references_are_declared_by_their_methods():
    methods = find().methods
    assert {name for name, method in methods.items() if method.reference} == {"frozen", "cascade", "full-ft", "scratch"}


def column(converged: int, rising: int = 0, untested: int = 0, reference: float = 0.5) -> Table:
    """Return a table of one column with PETL methods that have converged, have not, or are untested, and references."""
    kinds = "c" * converged + "r" * rising + "u" * untested
    names = [f"{kind}{number}" for number, kind in enumerate(kinds)]
    made = []
    for seed in range(3):
        for number, name in enumerate(names):
            one = record("lora", "sr_x4", seed, label=name, smoke=False)
            for place, score in enumerate(one["scores"]):
                score["psnr"] = 20 + number + place + 0.01 * ((7 * seed + 3 * place + number) % 5)
            one["convergence"] = {"c": doubling(0.05), "r": doubling(0.41), "u": None}[name[0]]
            made.append(one)
        full = record("full-ft", "sr_x4", seed, smoke=False)
        full["convergence"] = doubling(reference)
        made.append(full)
    made.append(record("frozen", "sr_x4", smoke=False))
    return next(table for table in tables(typed_all(made), {}) if table.domain == "procedural")


def test_a_column_of_five_converged_methods_is_not_ranked():
    found = column(FEWEST_METHODS - 1, rising=3)
    assert found.columns[0].unranked == "fewer than 6 PETL methods converged with all seeds"
    assert not any(row.values[0].mark for row in found.rows)
    assert ranks([found]) == ["Nothing is ranked: fewer than 6 PETL methods converged with all seeds."]


def test_a_column_of_six_is_ranked_and_the_seventh_stands_below_it_with_its_change():
    found = column(FEWEST_METHODS, rising=1, untested=1)
    (only,) = found.columns
    assert only.unranked == ""
    assert only.ranking is not None
    assert len(only.ranking.scores) == FEWEST_METHODS
    assert not {"r6", "u7", "full-ft", "frozen"} & only.ranking.scores.keys(), "the highest two are not among them"
    assert found.below() == [
        "Not ranked in sr_x4 (leaves-test, y-crop4): r6 (not converged, +0.41 dB), u7 (not tested), "
        "full-ft (reference, not converged, +0.50 dB)"
    ]


def test_references_block_nothing_and_their_change_is_said():
    for change in (0.5, 0.02):
        found = column(FEWEST_METHODS, reference=change)
        assert found.columns[0].unranked == ""
        assert found.below()[0].endswith(f", +{change:.2f} dB)")


def test_the_table_of_a_store_has_the_change():
    lines = csv([column(FEWEST_METHODS, rising=1)]).splitlines()
    head = lines[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=False)) for line in lines[1:] if ",r6," in line]
    (row,) = rows
    assert row["converged"] == "False" and float(row["change"]) == pytest.approx(0.41)


def test_the_documentation_has_the_rule_in_the_same_words():
    assert RULE in " ".join((ROOT / "docs" / "measured.md").read_text(encoding="utf-8").split())


def test_the_table_of_shipped_choices(tmp_path, monkeypatch):
    trials = dict.fromkeys([1e-3, 3e-3], 24.0) | {5.5e-3: 24.31}
    cell: TunedCell = {"backbone": "ipt-nano", "task": "tiny", "label": "lora", "steps": 40}
    halves = {5.5e-3: Half(20, 23.9, [])}
    export([RateSelection("key", cell, trials, {rate: [] for rate in trials}, halves)], tmp_path / "demo" / "nano.json")
    monkeypatch.setattr("petlir.benchmark.commands.listing.COMMITTED", tmp_path)
    rows = LISTS["convergence"]([])
    assert [row["about"] for row in rows] == [
        "0.0055 (24.31 dB at 40 steps, 23.90 at 20: +0.41, not converged); rates tried: 3"
    ]
    assert as_markdown("convergence", rows).splitlines()[-1] == (
        "| ipt-nano | lora | tiny | demo | 0.0055 | 3 | 40 | 24.31 | 23.9 | 0.41 | not converged |"
    )
    assert COMMITTED.is_dir()
