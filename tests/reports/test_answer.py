from __future__ import annotations

import re

import pytest

from petlir.reports.answer import answer
from petlir.reports.cells import listed
from petlir.reports.tables import tables
from petlir.reports.titles import built_in_tasks
from tests.helpers.samples import typed_all
from tests.reports.stores import doubling, ranked_records, record, smoke_records

HYBRID = "hybrid_lr4_noise30"


def sentences(plain):
    records = typed_all(plain)
    return answer(tables(records, built_in_tasks()), records, listed(records))


def better(made, gain):
    for score in made["scores"]:
        score["psnr"] += gain
    return made


def test_a_smoke_run_says_first_that_it_is_too_short_to_rank():
    first, second, *_ = sentences(smoke_records())
    assert first.startswith("These runs are too short to rank methods (40 steps, one seed)")
    assert second.startswith("After these few steps, on the hybrid tasks no PETL method beats both bicubic")
    assert "adapter 24.89 dB, bicubic 25.00, cascade 26.50" in second


def test_a_smoke_run_that_beats_everything_untrained_still_ranks_nothing():
    made = [better(record("lora", HYBRID), 5.0), record("cascade", HYBRID), record("frozen", HYBRID)]
    first, second, *_ = sentences(made)
    assert "too short to rank" in first
    assert second.startswith("After these few steps, on every hybrid task the best PETL method is above bicubic")


def test_the_first_sentence_says_that_training_did_not_help():
    (first, *_) = sentences([record("lora", HYBRID, smoke=False), record("cascade", HYBRID, smoke=False)])
    assert first.startswith("On the hybrid tasks no PETL method beats both bicubic")


def test_beating_bicubic_alone_is_not_enough():
    made = [better(record("lora", HYBRID, smoke=False), 1.5), record("cascade", HYBRID, smoke=False)]
    assert "no PETL method beats" in sentences(made)[0]


def test_beating_both_is_said_too():
    made = [better(record("lora", HYBRID, smoke=False), 5.0), record("cascade", HYBRID, smoke=False)]
    assert sentences(made)[0].startswith("On every hybrid task the best PETL method beats bicubic")


def test_a_cascade_that_was_not_run_is_not_beaten():
    first = sentences([better(record("lora", HYBRID, smoke=False), 5.0)])[0]
    assert first.startswith("On every hybrid task the best PETL method beats every untrained baseline that was run: ")
    assert first.endswith("cascade not run.")


@pytest.mark.parametrize("smoke", [True, False])
def test_a_task_that_the_backbone_has_seen_is_called_the_control(smoke):
    made = [record("frozen", "sr_x4"), better(record("lora", "sr_x4", smoke=smoke), -1.25)]
    (told,) = (one for one in sentences(made) if "control task" in one)
    assert told.startswith("Largest change from the frozen network on the control task, seen in pre-training: ")
    assert "ipt-nano: lora −0.2" in told


def test_tied_methods_are_named_together_and_the_demo_finds_nothing():
    told = " ".join(sentences(ranked_records()))
    assert "provisional: fewer than five seeds" in told
    assert told.count("Best on ") == 3
    assert re.search(
        r"Best on \S.*?: (adapter|twin), \+\S+ dB over the frozen network; tied with (adapter|twin) \(", told
    )
    assert "not a finding" in told


def test_two_seeds_name_no_winner():
    told = " ".join(sentences([one for one in ranked_records() if one["cell"]["seed"] < 2]))
    assert "Nothing is ranked: 2 seeds, but a ranking needs at least 3." in told


def test_counts_and_states():
    told = sentences(smoke_records())
    assert "3 tasks, 7 methods, 1 seed, 4 photographs, 6 procedural images; cpu; 2026-11-21." in told
    assert "14 of 18 runs finished; 1 failed, 1 ran out of memory, 2 do not apply." in told


def test_a_method_on_other_tasks_only_is_not_missing_but_a_seed_is():
    made = [record("lora", task, seed) for task in ("sr_x4", HYBRID) for seed in (0, 1)]
    made += [record("adapter", "sr_x4", 0), record("frozen", HYBRID)]
    missing = [row for row in listed(typed_all(made)) if row.state == "missing"]
    assert [(row.label, row.task, row.seed) for row in missing] == [("adapter", "sr_x4", 1)]
    assert sentences(made)[-1] == "6 of 7 runs finished; 1 is missing."


def test_single_tasks_only_and_nothing_done_do_not_break_the_answer():
    assert sentences([record("lora", "sr_x4")])[0].startswith("These runs are too short")
    lost = record("lora", "sr_x4") | {"state": "failed", "reason": "x", "scores": [], "costs": {}, "curve": []}
    assert sentences([lost])
    unconverged = record("lora", "sr_x4", smoke=False) | {"convergence": doubling(0.9)}
    assert sentences([unconverged])
