from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.reports.figures.axis import spanning
from petlir.reports.figures.colours import classes
from petlir.reports.figures.curves import curves
from petlir.reports.figures.pareto import SCALES, Box, ParetoPoint, frontier, of_task, overview
from petlir.reports.figures.waterfall import MIB, waterfall
from petlir.reports.tables import tables
from petlir.reports.titles import built_in_tasks
from tests.helpers.samples import typed, typed_all
from tests.reports.stores import ranked_records, record, smoke_records


@given(st.lists(st.floats(-100, 100), min_size=1))
def test_values_and_ticks_lie_on_a_linear_axis(values):
    axis = spanning(values, 300, 0)
    assert all(0 <= axis(value) <= 300 for value in values)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert 3 <= len(axis.ticks) <= 11


@given(st.lists(st.floats(1, 1e9), min_size=1))
def test_values_and_ticks_lie_on_a_logarithmic_axis(values):
    axis = spanning(values, 0, 500, log=True)
    assert all(0 <= axis(value) <= 500 for value in values)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis():
    axis = spanning([10, 100_000], 0, 500, log=True)
    assert axis(1000) - axis(100) == pytest.approx(axis(100) - axis(10), abs=0.11)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, unique=True))
def test_the_frontier_is_what_nothing_dominates(pairs):
    points = [ParetoPoint("", "", "petl", "", size, gain, size, gain, None) for size, gain in pairs]
    undominated = [
        (size, gain)
        for size, gain in pairs
        if not any((s <= size and g >= gain) and (s, g) != (size, gain) for s, g in pairs)
    ]
    expected = " ".join(f"{size},{gain}" for size, gain in sorted(undominated))
    assert frontier(points) == expected


def test_labels_do_not_overlap_and_smoke_has_no_frontier():
    for records, smoke in ((smoke_records(), True), (ranked_records(), False)):
        for plot in overview(tables(typed_all(records), built_in_tasks())[0], classes(typed_all(records))):
            boxes = [point.text.box for point in plot.points if point.text]
            assert not any(one.hits([other]) for one, other in combinations(boxes, 2))
            assert bool(plot.frontier) is not smoke


def test_methods_of_one_size_are_all_labelled_and_no_label_hides_a_point():
    made = [record("frozen", "sr_x4"), *(record("lora", "sr_x4", label=f"method-{n}") for n in range(9))]
    for number, one in enumerate(made):
        one["costs"]["trainable"] += 40 * number * (one["cell"]["method"] == "lora")
    (plot, *_) = overview(tables(typed_all(made), {})[0], {})
    assert all(point.text for point in plot.points)
    points = [Box(point.x - 5, point.y - 5, point.x + 5, point.y + 5) for point in plot.points]
    baselines = [Box(640, level.text_y - 12, 740, level.text_y) for level in plot.levels]
    assert not any(point.text.box.hits([*points, *baselines]) for point in plot.points if point.text)
    assert any(point.text.leader for point in plot.points if point.text)


def test_a_baseline_far_below_is_named_and_does_not_flatten_the_plot():
    made = [record(name, "sr_x4") for name in ("frozen", "lora")]
    for one in made:
        for score in one["scores"]:
            score["input_psnr"] = 5.0
    (plot, *_) = overview(tables(typed_all(made), {})[0], {})
    assert [level.label for level in plot.levels] == ["frozen"]
    assert len(plot.beyond) == 1
    assert plot.beyond[0].startswith("input (bicubic) −18.")
    assert plot.y.low > -1


def test_the_mean_is_over_tasks_of_one_kind_of_transfer_only():
    table = tables(typed_all(ranked_records()), {})[0]
    plots = overview(table, {})
    assert {plot.title for plot in plots} == {"Mean over seen tasks (2)", "Mean over unseen tasks (1)"}
    (mean,) = (plot for plot in plots if plot.title.startswith("Mean over seen") and plot.scale.part == "trainable")
    row = table.row("lora")
    assert row
    pairs = zip(row.values, table.columns, strict=True)
    seen = [value.frozen or 0.0 for value, column in pairs if column.transfer == "seen"]
    assert next(point.gain for point in mean.points if point.label == "lora") == pytest.approx(sum(seen) / 2)


def test_a_task_is_drawn_against_every_cost_but_times_of_a_shared_device():
    table = tables(typed_all(ranked_records()), {})[0]
    drawn = {plot.scale.part for plot in of_task(table, "sr_x4", {})}
    assert drawn == {scale.part for scale in SCALES} - {"step"}
    alone = ranked_records()
    for one in alone:
        one["costs"]["exclusive"] = True
    assert "step" in {plot.scale.part for plot in of_task(tables(typed_all(alone), {})[0], "sr_x4", {})}


def test_a_curve_has_every_point_of_its_record():
    lora, lost = record("lora", "sr_x4"), record("ssf", "sr_x4")
    lost["curve"] = []
    (plot,) = curves([typed(lora), typed(lost)], {})
    assert [(line.label, len(line.points.split())) for line in plot.lines] == [("lora", 8)]


def test_seeds_are_a_band_around_their_mean():
    one, other = record("lora", "sr_x4", 0), record("lora", "sr_x4", 1)
    for offset, made in ((0.0, one), (2.0, other)):
        for point in made["curve"]:
            point["loss"] = 20.0 + offset
    (plot,) = curves([typed(one), typed(other)], {})
    (line,) = plot.lines
    heights = {float(point.split(",")[1]) for point in line.points.split()}
    band = {float(point.split(",")[1]) for point in line.band.split()}
    assert heights == {plot.y(21.0)}
    assert band == {plot.y(20.0), plot.y(22.0)}
    assert (line.last, line.seeds) == (21.0, 2)


def test_the_steps_of_a_waterfall_lead_from_full_fine_tuning_to_the_method():
    table = tables(typed_all(ranked_records()), {})[0]
    falls = waterfall(table)
    assert falls
    for row in falls.rows:
        costs = next(one.costs for one in table.rows if one.label == row.label)
        assert costs
        assert falls.start + sum(fall.change for fall in row.parts) == pytest.approx(sum(costs.memory))
        assert min(fall.left for fall in row.parts) == falls.x(sum(costs.memory) / MIB)
