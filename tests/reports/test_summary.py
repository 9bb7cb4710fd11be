"""Test the sentences about each task, the unexpected results, and the grouping of published results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from petlir.benchmark.published import Claim, Ordering
from petlir.benchmark.statistics.crossed import Difference
from petlir.reports.claims import by_reason, verdicts
from petlir.reports.crops import CropBox, contrast, farthest
from petlir.reports.orderings import OrderingResult, Where, statements
from petlir.reports.results import FULL, INPUT
from petlir.reports.summary import ranks_over_tasks, surprises, task_summaries, untrained_beside_methods
from petlir.reports.tables import tables
from petlir.reports.titles import built_in_tasks
from tests.helpers.samples import typed_all
from tests.reports.stores import doubling, ranked_records, record, smoke_records, unfinished

HYBRID = "hybrid_lr4_noise30"


def photographs(plain):
    return next(table for table in tables(typed_all(plain), built_in_tasks()) if table.domain == "photographs")


def moved(made, by):
    for score in made["scores"]:
        score["psnr"] += by
    return made


@pytest.fixture(scope="module")
def ranked():
    return photographs(ranked_records(3))


def test_each_task_has_its_best_method_and_those_tied_with_it(ranked):
    for summary in task_summaries([ranked]):
        assert summary.best
        assert {summary.best.label, *summary.tied} == {"adapter", "twin"}
        marked = {row.label for row in ranked.rows if row.values[summary.place].mark}
        assert marked == {"adapter", "twin"}
        assert summary.psnr(INPUT) == pytest.approx(26.0)
        assert summary.psnr("nothing") is None


def test_a_smoke_run_has_no_best_method():
    assert {summary.best for summary in task_summaries([photographs(smoke_records())])} == {None}


def test_ranks_over_tasks_are_those_of_the_tasks(ranked):
    found = ranks_over_tasks(ranked)
    assert found
    assert (found.ranks["lora"].low, found.ranks["least"].value) == (3.0, 6.0)


def test_the_configuration_with_marks_is_shown_and_the_others_folded(ranked):
    assert ranked.folded["minor"] == "lora"
    assert set(ranked.folded) & {"adapter", "twin"} in ({"adapter"}, {"twin"})
    several = photographs([record("lora", "sr_x4", label="lora[rank=4]"), record("lora", "sr_x4"),
                           record("lora", "denoise_30"), record("frozen", "sr_x4")])  # fmt: skip
    assert several.folded == {"lora[rank=4]": "lora"}


def test_one_column_leads_for_each_task_and_smoke_runs_do_not():
    made = [record("lora", "sr_x4"), record("lora", "sr_x4", steps=400, smoke=False), record("adapter", "sr_x4")]
    table = photographs(made)
    (place,) = table.leading
    assert table.columns[place].budget.startswith("400 steps")
    assert table.further == {1 - place}


def test_what_got_worse_what_scratch_reaches_and_what_failed_is_not_expected():
    made = [record("frozen", HYBRID), moved(record("lora", HYBRID), -1.5), record("adapter", HYBRID)]
    made += [record("full-ft", HYBRID), moved(record("full-ft", HYBRID, label="scratch"), 1.0)]
    made += [unfinished(record("ssf", HYBRID), "failed", "the loss is not a number")]
    told = " ".join(surprises([photographs(made)], typed_all(made), []))
    assert "training made lora worse than the frozen network" in told
    assert "a network trained from scratch (28.50 dB) is at least as good as full fine-tuning (27.50 dB)" in told
    assert "1 run failed: ssf on hybrid_lr4_noise30: the loss is not a number." in told
    assert surprises([photographs([record("frozen", HYBRID), record("lora", HYBRID)])], [], []) == []


def test_a_hybrid_task_says_what_methods_of_each_size_reach():
    made = [record(name, HYBRID) for name in ("frozen", "lora", "adapter", FULL)]
    small = moved(record("lora", HYBRID, label="lora[rank=1]"), 1.0)
    small["costs"]["trainable"] = 5_000
    table = photographs([*made, small])
    numbers, *sizes = untrained_beside_methods(table, table.leading[0])
    assert numbers.startswith("photographs, y-crop4, 40 steps × 4 × 48²: frozen 23.5")
    assert "input (bicubic) 25.00 dB" in numbers
    assert len(sizes) == 2
    one, two = sorted(sizes)
    assert one.startswith("At about 0.6 % of the backbone's parameters, 1 of 1 PETL method reached a higher PSNR")
    assert two.startswith("At about 2 % of the backbone's parameters, 0 of 2 PETL methods reached a higher PSNR")


def result(verdict, mean, statement="a beats b"):
    ordering = Ordering(statement, "us", ("a",), ">", ("b",), ("*",), "psnr", "")
    where = Where("ipt-nano", "open", "sidd", "PolyU", "rgb")
    return OrderingResult(ordering, "a", "b", where, Difference(mean, mean - 0.1, mean + 0.1, 0.5), verdict)


@pytest.mark.parametrize(
    ("verdict", "each"),
    [
        ("holds", ("holds", "holds")),
        ("undecided", ("holds", "inconclusive")),
        ("does not hold", ("holds", "contradicted", "inconclusive")),
    ],
)
def test_a_statement_holds_only_where_every_comparison_does(verdict, each):
    (found,) = statements([result(one, float(place)) for place, one in enumerate(each)])
    assert found.verdict == verdict
    assert (found.smallest.difference.mean, found.largest.difference.mean) == (0.0, len(each) - 1)


def test_statements_that_do_not_hold_come_first_and_are_not_expected():
    tested = [result("holds", 1.0, "first"), result("contradicted", -1.0, "second")]
    assert [one.ordering.statement for one in statements(tested)] == ["second", "first"]
    assert surprises([], [], tested) == ["“second” (us) does not hold in 1 comparison."]


def test_comparable_numbers_come_first_and_the_others_by_reason():
    claim = Claim("us", "1", "ipt-nano", "frozen", "sr_x4", "photographs", "y-crop4", 23.5, None, "", "")
    other = replace(claim, set="Set14")
    unknown = replace(claim, method="lora")
    made = typed_all([record("frozen", "sr_x4", backbone="ipt-nano")])
    groups = by_reason(verdicts(made, [unknown, other, claim, other]))
    assert [(reason, len(some)) for reason, some in groups] == [("", 1), ("not comparable: data", 2), ("not run", 1)]


def test_the_contrast_is_between_the_two_versions_that_differ_most_in_the_crop():
    clean = np.full((64, 64, 3), 100, np.uint8)
    near, far = clean.copy(), clean.copy()
    near[8:40, 8:40] += 2
    far[8:40, 8:40] += 60
    box = CropBox(x=8, y=8, side=32, scores=[None, 42.1, 12.6, None])
    found = contrast([clean, near, far, clean], [1, 2], box)
    assert found == {"left": 2, "right": 1, "levels": 58.0}
    assert farthest(near, far, 32) == (8, 8)
    assert farthest(clean, far, 500)[1] == 0


def test_an_unconverged_method_names_no_best():
    made = [record("lora", "sr_x4", seed, smoke=False) | {"convergence": doubling(0.9)} for seed in range(3)]
    assert task_summaries([photographs(made)])[0].best is None
