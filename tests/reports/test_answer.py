from __future__ import annotations

from petlir.reports.answer import answer
from petlir.reports.cells import listed
from petlir.reports.tables import tables
from petlir.reports.titles import built_in_tasks
from tests.helpers.samples import typed_all
from tests.reports.stores import ranked_records, record, smoke_records


def sentences(plain):
    records = typed_all(plain)
    return answer(tables(records, built_in_tasks()), records, listed(records))


def test_the_first_sentence_says_that_training_did_not_help():
    first, second, *_ = sentences(smoke_records())
    assert first.startswith("On the hybrid tasks no PETL method beats both bicubic")
    assert "adapter 24.89 dB, bicubic 25.00, cascade 26.50" in first
    assert second.startswith("Smoke: 40 steps, one seed, no ranks.")


def test_beating_bicubic_alone_is_not_enough():
    records = [record("lora", "hybrid_lr4_noise30"), record("cascade", "hybrid_lr4_noise30")]
    for score in records[0]["scores"]:
        score["psnr"] += 2.0
    assert "no PETL method beats" in sentences(records)[0]


def test_beating_both_is_said_too():
    records = [record("lora", "hybrid_lr4_noise30"), record("cascade", "hybrid_lr4_noise30")]
    for score in records[0]["scores"]:
        score["psnr"] += 5.0
    assert sentences(records)[0].startswith("On every hybrid task the best PETL method beats bicubic")


def test_a_cascade_that_was_not_run_is_not_beaten():
    records = [record("lora", "hybrid_lr4_noise30")]
    for score in records[0]["scores"]:
        score["psnr"] += 5.0
    first = sentences(records)[0]
    assert first.startswith("On every hybrid task the best PETL method beats every untrained way that was run: ")
    assert first.endswith("cascade not run.")


def test_tied_methods_are_named_together_and_the_demo_finds_nothing():
    told = " ".join(sentences(ranked_records()))
    assert "provisional: fewer than five seeds" in told
    assert "Best, or not told apart from it, of 3 columns: adapter in 3 and twin in 3" in told
    assert "no finding" in told


def test_two_seeds_name_no_winner():
    told = " ".join(sentences([one for one in ranked_records() if one["cell"]["seed"] < 2]))
    assert "Nothing is ranked: 2 seeds: no separation is stated below 3." in told


def test_counts_and_states():
    told = sentences(smoke_records())
    assert "3 tasks, 7 methods, 1 seed, 4 photographs, 6 procedural images; cpu; 2026-11-21." in told
    assert "Cells: 14 done, 1 failed, 1 out of memory, 2 not applicable, 3 missing." in told


def test_single_tasks_only_and_nothing_done_do_not_break_the_answer():
    assert sentences([record("lora", "sr_x4")])[0].startswith("Smoke")
    lost = record("lora", "sr_x4") | {"state": "failed", "reason": "x", "scores": [], "costs": {}, "curve": []}
    assert sentences([lost])
