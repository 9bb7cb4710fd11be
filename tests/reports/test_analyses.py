"""Test that the pages of analyses plot the values of the analyses' rows."""

import re

import pytest

from petlir.benchmark.analysis.finished import Analysis
from petlir.benchmark.analysis.studies import keep
from petlir.reports.analyses import studies
from petlir.reports.templating import templates
from tests.reports.analysed import write_analyses


def refuse(line):
    raise AssertionError(line)


@pytest.fixture
def store(tmp_path):
    write_analyses(tmp_path)
    return tmp_path


def test_curves_share_their_axes_and_stand_where_the_rows_say(store):
    fourier = next(study for study in studies(store, refuse) if study.name == "fourier")
    strange, lora = fourier.panels
    assert (strange.label, lora.label) == ("<b>", "lora")
    assert (strange.x, strange.y) == (lora.x, lora.y)
    noise = next(points for task, _, points in lora.lines if task == "noise")
    assert noise.split()[-1] == f"{lora.x(0.75)},{lora.y(-1.5)}"


def test_a_matrix_has_a_row_for_what_was_trained_and_gaps_where_a_cell_is_missing(store):
    (matrix,) = next(study for study in studies(store, refuse) if study.name == "transfer").matrices
    assert matrix.down == matrix.across == ("noise", "rain")
    assert matrix.rows == ((0.5, None), (-2.0, 1.5))


def test_tables_hold_groups_and_strengths(store):
    by_name = {study.name: [lines for _, lines in study.tables] for study in studies(store, refuse)}
    (moved,), strong = by_name["contribution"], by_name["response"]
    assert moved == [["label", "task", "norm", "encoder"], ["full-ft", "rain", "2", "1"]]
    named = ["label", "branch", "rain", "noise"]
    rows = [("local", "0.25", "0.5"), ("added", "9", "nan"), ("place gate", "0.75", "nan")]
    assert strong[0] == [named, *(["adaptir", *row] for row in rows)]


def test_each_tensor_has_a_dot_on_a_log_axis_and_each_place_a_region(store):
    kinds, (layers,) = next(study for study in studies(store, refuse) if study.name == "contribution").moved
    y = layers.y
    assert (layers.label, layers.task, set(kinds)) == ("full-ft", "rain", {"norm", "bias"})
    assert y(1e-4) == pytest.approx((y(1e-2) + y(1e-6)) / 2, abs=0.1)
    first, second = re.findall(r"M([\d.]+) ([\d.]+)h0", layers.marks[kinds["norm"]])
    assert [float(at) for _, at in (first, second)] == [y(1e-4), y(1e-6)]
    (bias,) = re.findall(r"M([\d.]+) ([\d.]+)h0", layers.marks[kinds["bias"]])
    assert float(first[0]) < float(bias[0]) < float(second[0])
    encoder, decoder = layers.regions
    assert (encoder.name, decoder.name) == ("encoder", "decoder") and encoder.right == decoder.left
    assert encoder.left < float(bias[0]) < encoder.right < float(second[0]) < decoder.right


def test_ranks_are_drawn_where_they_differ_and_a_bar_is_as_high_as_its_rank(store):
    (layers,) = next(study for study in studies(store, refuse) if study.name == "contribution").ranks
    assert layers.label == "colora"
    low, high = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", layers.marks["hue-0"])
    heights = [float(bottom) - float(top) for bottom, top in (low, high)]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.5)


def test_branches_and_gates_stand_apart_and_what_is_added_is_neither(store):
    branches, gates = next(study for study in studies(store, refuse) if study.name == "response").strengths
    assert (branches.title, set(branches.colours)) == ("adaptir, branches", {"local"})
    assert (gates.title, set(gates.colours)) == ("adaptir, gates", {"place gate"})
    assert {row.task: row.dots["local"] for row in branches.rows} == {
        "rain": (branches.x(0.25), 0.25),
        "noise": (branches.x(0.5), 0.5),
    }


def test_a_router_has_a_row_for_each_task_and_its_rows_are_no_gains(store):
    transfer = next(study for study in studies(store, refuse) if study.name == "transfer")
    (confusion,) = transfer.confusions
    assert (confusion.label, confusion.down, confusion.across) == ("uir-lora", ("haze", "rain"), ("noise", "rain"))
    assert confusion.rows == ((None, 1.0), (0.25, 0.75))
    assert [matrix.label for matrix in transfer.matrices] == ["lora"]


def test_the_section_says_all_and_escapes_it(store):
    page = (
        templates()
        .get_template("analyses.html.j2")
        .render(studies=studies(store, refuse), root="", here="analyses.html", navigation=[])
    )
    for words in (
        "what fourier shows",
        "what transfer shows",
        "+1.50",
        "−2.00",
        "frozen: &lt;nothing&gt;",
        "&lt;b&gt;",
    ):
        assert words in page
    assert "<b>" not in page


def test_without_analyses_there_are_none_and_a_damaged_one_is_named(store, tmp_path):
    assert studies(tmp_path / "none", refuse) == []
    (store / "analyses" / "fourier.json").write_text("{")
    lines: list[str] = []
    assert "fourier" not in [study.name for study in studies(store, lines.append)]
    (line,) = lines
    assert re.search(r"analyses/fourier is damaged: .*`petlir analyse fourier` again", line)


def test_an_analysis_that_applies_to_nothing_has_its_reasons(tmp_path):
    keep(Analysis([], [], ["lora: none of its modules has branches"]), tmp_path / "analyses" / "response.csv")
    (study,) = studies(tmp_path, refuse)
    assert (study.tables, study.left_out) == ([], ("lora: none of its modules has branches",))
