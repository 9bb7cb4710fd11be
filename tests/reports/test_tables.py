"""Test tables against pandas on the raw JSON."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from petlir.benchmark.records.groups import grouped
from petlir.reports.answer import headline
from petlir.reports.frame import COLUMNS, load, score_frame
from petlir.reports.metrics import extra_metrics
from petlir.reports.results import INPUT, Column
from petlir.reports.tables import tables
from petlir.reports.titles import built_in_tasks
from tests.helpers.samples import typed, typed_all
from tests.reports.stores import (
    QUALITY,
    RANKED_TOO,
    doubling,
    ranked_records,
    record,
    smoke_records,
    unfinished,
    write_store,
)


def raw(store, label, task):
    """Return the scores of a method's finished cells on photographs, read directly from the files."""
    rows = []
    for path in store.glob("cells/*/*/*-s?-*/record.json"):
        if path.parent.name.startswith("torn"):
            continue
        read = json.loads(path.read_text())
        if (read["cell"]["label"], read["cell"]["task"]) == (label, task):
            rows += [s for s in read["scores"] if s["domain"] == "photographs"]
    return pd.DataFrame(rows)


def photographs(records):
    read = [typed(one) if isinstance(one, dict) else one for one in records]
    return next(table for table in tables(read, built_in_tasks()) if table.domain == "photographs")


def value(table, label, task):
    index = [column.task for column in table.columns].index(task)
    return table.row(label).values[index]


def test_differences_are_those_of_the_raw_numbers(ranked):
    table = photographs(load(ranked))
    for task in ("sr_x4", "hybrid_lr4_noise30"):
        mine, full, frozen = (raw(ranked, label, task) for label in ("lora", "full-ft", "frozen"))
        found = value(table, "lora", task)
        assert found.psnr == pytest.approx(mine.psnr.mean())
        assert found.scores["ssim"] == pytest.approx(mine.ssim.mean())
        assert found.full == pytest.approx(mine.psnr.mean() - full.psnr.mean())
        assert found.frozen == pytest.approx(mine.psnr.mean() - frozen.psnr.mean())
        assert found.input == pytest.approx(mine.psnr.mean() - mine.input_psnr.mean())
        assert value(table, INPUT, task).psnr == pytest.approx(mine.input_psnr.mean())
        assert len(found.seeds) == 3


def test_an_identical_image_is_counted_and_left_out_on_both_sides(store):
    table = photographs(load(store))
    found = value(table, "lora", "sr_x4")
    mine, full = raw(store, "lora", "sr_x4").iloc[1:], raw(store, "full-ft", "sr_x4").iloc[1:]
    assert found.infinite == 1
    assert found.psnr == pytest.approx(mine.psnr.astype(float).mean())
    assert found.full == pytest.approx((mine.psnr.astype(float) - full.psnr).mean())


def test_states_are_told_apart(store):
    table = photographs(load(store))
    states = {label: value(table, label, "denoise_30").state for label in ("ssf", "full-ft", "cascade", "adapter")}
    assert states == {
        "ssf": "failed", "full-ft": "out-of-memory", "cascade": "not-applicable", "adapter": "missing",
    }  # fmt: skip
    assert value(table, "ssf", "sr_x4").converged is False


def test_smoke_and_few_seeds_mark_nothing():
    two = [one for one in ranked_records() if one["cell"]["seed"] < 2]
    for records in (smoke_records(), two):
        table = photographs(records)
        assert not any(found.mark for row in table.rows for found in row.values)
        assert all(column.unranked for column in table.columns)


def test_three_seeds_mark_the_tied_group_of_converged_petl_methods():
    table = photographs(ranked_records())
    for column in range(len(table.columns)):
        marked = {row.label for row in table.rows if row.values[column].mark}
        assert marked == {"adapter", "twin"}
    assert all(column.provisional for column in table.columns)


def of_four_photographs(seeds):
    records = ranked_records(seeds)
    for one in records:
        one["scores"] = [score for score in one["scores"] if score["image"] not in RANKED_TOO]
    return tables(typed_all(records), {})


def test_four_photographs_can_never_be_ranked():
    of_photographs, of_leaves = of_four_photographs(5)
    assert {column.unranked for column in of_photographs.columns} == {
        "a column with 4 scenes is never ranked, whatever the number of seeds: the minimum is 5"
    }
    assert not any(column.unranked for column in of_leaves.columns)


def test_a_collapsed_seed_is_counted_and_its_interval_is_of_the_others():
    records = ranked_records(5)
    for one in records:
        if one["cell"]["label"] == "lora" and one["cell"]["seed"] == 3:
            for score in one["scores"]:
                score["psnr"] -= 9
    found = photographs(records)
    value = found.row("lora").values[0]
    assert value.collapse == "1 of 5 seeds collapsed (3)"
    assert value.gain.value == pytest.approx(QUALITY["lora"], abs=0.1)
    assert value.gain.high - value.gain.low < 0.2
    assert any("lora: 1 of 5 seeds collapsed (3)" in line for line in found.below())


def test_what_has_not_converged_is_not_ranked():
    """Six methods have converged, but not the best two; if one more has not, five remain and nothing is ranked."""
    records = ranked_records()
    for one in ranked_records():
        if one["cell"]["label"] in ("lora", "ssf"):
            one["cell"]["label"] += "-again"
            records.append(one | {"key": one["key"][::-1]})
    for one in records:
        if one["cell"]["label"] in ("adapter", "twin"):
            one["convergence"] = doubling(0.2)
    marked = {row.label for row in photographs(records).rows for found in row.values if found.mark}
    assert marked and marked <= {"lora", "lora-again", "minor"}
    for one in records:
        if one["cell"]["label"] == "ssf":
            one["convergence"] = doubling(-0.2)
    assert {column.unranked for column in photographs(records).columns} == {
        "fewer than 6 PETL methods converged with all seeds"
    }


def test_regimes_devices_protocols_and_budgets_never_share_a_column():
    tuned, paper = record("lora", "sr_x4"), record("lora", "sr_x4", regime="paper")
    longer, other = record("lora", "sr_x4", steps=400), record("lora", "sr_x4", backbone="nafnet-nano")
    gpu = record("lora", "sr_x4", patch=64)
    gpu["environment"]["device"] = "NVIDIA H200"
    twice = record("adapter", "sr_x4")
    twice["scores"] += [{**copy.deepcopy(score), "protocol": "rgb"} for score in twice["scores"]]
    records = [tuned, paper, longer, other, gpu, twice, record("frozen", "sr_x4")]
    assert len(grouped(typed_all(records))) == 4
    found = [table for table in tables(typed_all(records), {}) if table.domain == "photographs"]
    assert len(found) == 4
    columns = next(table for table in found if table.group.regime == "tuned" and len(table.columns) > 1).columns
    assert sorted((c.protocol, c.budget) for c in columns) == [
        ("rgb", "40 steps × 4 × 48²"), ("y-crop4", "40 steps × 4 × 48²"), ("y-crop4", "400 steps × 4 × 48²"),
    ]  # fmt: skip


def test_untrained_cells_stand_in_every_regime():
    records = [record("lora", "sr_x4"), record("lora", "sr_x4", regime="paper"), record("frozen", "sr_x4")]
    found = [table for table in tables(typed_all(records), {}) if table.domain == "photographs"]
    assert [table.group.regime for table in found] == ["paper", "tuned"]
    assert all(value(table, "frozen", "sr_x4").psnr for table in found)


def test_a_task_without_any_result_still_has_its_column():
    lost = unfinished(record("lora", "denoise_30"), "failed", "the loss is not a number")
    table = photographs([lost, record("frozen", "sr_x4")])
    assert value(table, "lora", "denoise_30").reason == "the loss is not a number"


def test_the_newest_record_of_a_cell_counts(tmp_path):
    old, new = record("lora", "sr_x4"), record("lora", "sr_x4")
    old["key"], old["finished"] = "0" * 64, "2026-11-20T09:00:00Z"
    assert [one.key for one in load(write_store(tmp_path, [old, new], images=False))] == [new["key"]]


def test_the_frame_has_a_row_for_every_score(store):
    warned: list[str] = []
    records = load(store, warned.append)
    frame = score_frame(records)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == sum(len(list(one.rows())) for one in records)
    assert len(warned) == 1
    assert "torn" in warned[0]
    assert frame.psnr.eq(math.inf).sum() == 1


def test_composed_methods_stand_in_a_table_of_their_own_and_are_not_ranked():
    composed = record("frozen", "hybrid_lr4_noise30", label="uir-lora")
    composed["key_components"] = {"engine": "1", "needs": "0123"}
    main, apart = (
        t
        for t in tables([*typed_all(ranked_records()), typed(composed)], built_in_tasks())
        if t.domain == "photographs"
    )
    assert main.row("uir-lora") is None
    assert [row.label for row in apart.rows] == [INPUT, "cascade", "frozen", "uir-lora"]
    assert apart.title == f"{main.title}; composed from the adapters of other runs, without training"
    assert value(apart, "uir-lora", "hybrid_lr4_noise30").psnr is not None
    assert {v.mark for row in apart.rows for v in row.values} == {""}
    assert headline([main, apart]) == [main]


def test_the_cells_that_a_method_requires_belong_to_its_costs():
    alone, follower = record("lora", "sr_x4"), record("adapter", "sr_x4")
    follower["costs"] |= {"adaptation_seconds": 2.0, "required_seconds": 40.0}
    table = photographs([alone, follower])
    seconds = {
        label: (table.row(label).costs.training, table.row(label).costs.required) for label in ("lora", "adapter")
    }
    assert seconds == {"lora": (4.0, 4.0), "adapter": (6.0, 46.0)}


def measured(label, seed, values, unavailable=None):
    plain = record(label, "sr_x4", seed)
    rows = [{"set": "photographs", "image": name, "value": value} for name, value in values.items()]
    return plain | {"metrics": [{
        "metric": "lpips", "better": "lower", "colour": "RGB", "library": "pyiqa 0.1", "unavailable": unavailable,
        "values": rows,
    }]}  # fmt: skip


def test_further_metrics_are_means_over_images_of_means_over_seeds():
    lora = [measured("lora", 0, {"a": 0.1, "b": 0.4}), measured("lora", 1, {"a": 0.3})]
    found = extra_metrics(
        typed_all([*lora, measured("ssf", 0, {}, "its weights are not at hand"), record("adapter", "sr_x4")])
    )
    assert [(one.label, one.set, one.mean, one.unavailable) for one in found] == [
        ("ssf", "", None, "its weights are not at hand"),
        ("lora", "photographs", pytest.approx((0.2 + 0.4) / 2), ""),
    ]
    assert extra_metrics([typed(record("adapter", "sr_x4"))]) == []


def test_a_protocol_that_looks_at_the_clean_image_says_so():
    column = Column("low_light", "Low light", "LOL", "photographs", "rgb-gtmean@whole", "")
    assert column.borrowed == "GT-mean: brightness taken from the clean image"
    assert replace(column, protocol="rgb@whole").borrowed == replace(column, protocol="").borrowed == ""


def test_shares_of_the_gain_stand_where_they_say_something():
    """Six procedural images suffice for intervals; with four photographs, no share is printed."""
    photographs, procedural = (
        next(table for table in of_four_photographs(5) if table.domain == domain)
        for domain in ("photographs", "procedural")
    )
    for label in ("lora", "adapter", "ssf"):
        row = procedural.row(label)
        assert row
        for value in row.values:
            assert value.share
            assert value.share.value == pytest.approx(QUALITY[label] / QUALITY["full-ft"], abs=0.01)
            assert value.share.low <= value.share.value <= value.share.high
    assert all(value.share is None for row in photographs.rows for value in row.values)
    assert all(row.values[0].share is None for row in procedural.rows if row.label in ("full-ft", "frozen", "cascade"))


def test_gains_over_frozen_have_intervals_where_there_are_units_enough():
    """The true gains are known; six procedural images and three seeds give intervals; four photographs do not."""
    photographs, procedural = (
        next(table for table in of_four_photographs(3) if table.domain == domain)
        for domain in ("photographs", "procedural")
    )
    for label in ("lora", "adapter", "ssf", "full-ft"):
        row = procedural.row(label)
        assert row
        for value in row.values:
            assert value.gain and value.gain.value == pytest.approx(value.frozen)
            assert value.gain.value == pytest.approx(QUALITY[label] - QUALITY["frozen"], abs=0.03)
            assert value.gain.low < value.gain.value < value.gain.high < value.gain.low + 0.2
    assert all(value.gain is None for row in photographs.rows for value in row.values)
    assert all(value.gain is None for row in procedural.rows if row.label == "frozen" for value in row.values)
