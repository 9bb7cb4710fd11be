"""Pages of analyses: what is drawn is what the rows hold."""

import re

import pytest

from benchmark.analysis.finished import Analysis
from benchmark.analysis.studies import keep
from reports.analyses import studies
from reports.templating import templates


def refuse(line):
    raise AssertionError(line)


def curve(label, task, slope):
    return [
        {"label": label, "task": task, "frequency": k / 4, "relative_log_amplitude": -slope * k / 4} for k in range(4)
    ]


@pytest.fixture
def store(tmp_path):
    fourier = [*curve("lora", "rain", 1.0), *curve("lora", "noise", 2.0), *curve("<b>", "rain", 4.0)]
    fourier.append({"label": "lora", "tasks": 2, "heterogeneity": 0.4, "low": 0.3, "high": 0.5})
    gains = [{"label": "lora", "trained": a, "tested": b, "psnr": 20.0, "over_frozen": gain}
             for a, b, gain in (("rain", "rain", 1.5), ("rain", "noise", -2.0), ("noise", "noise", 0.5))]  # fmt: skip
    routed = (("rain", "rain", 0.75), ("rain", "noise", 0.25), ("haze", "rain", 1.0))
    gains += [{"label": "uir-lora", "tested": task, "expert": expert, "weight": 0.5, "most": most}
              for task, expert, most in routed]  # fmt: skip
    groups = (("kind", "norm", 2.0), ("place", "encoder", 1.0), ("tensor", "a.b", 9.0))
    moved = [{"label": "full-ft", "task": "rain", "level": level, "group": group, "mean": mean, "parameters": 1}
             for level, group, mean in groups]  # fmt: skip
    strong = [
        {"label": "adaptir", "task": "rain", "branch": "local", "strength": 0.25, "low_energy": 0.5, "modules": 2}
    ]
    for name, rows in (("fourier", fourier), ("transfer", gains), ("contribution", moved), ("response", strong)):
        keep(Analysis(rows, [f"what {name} shows"], ["frozen: <nothing>"]), tmp_path / "analyses" / f"{name}.csv")
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
    assert strong == [
        [["label", "branch", "rain"], ["adaptir", "local", "0.25"]],
        [["label", "branch", "rain"], ["adaptir", "local", "0.5"]],
    ]


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
    assert re.search(r"analyses/fourier is damaged: .*`petlir analyse fourier` makes it", line)


def test_an_analysis_that_applies_to_nothing_has_its_reasons(tmp_path):
    keep(Analysis([], [], ["lora: no module of it has branches"]), tmp_path / "analyses" / "response.csv")
    (study,) = studies(tmp_path, refuse)
    assert (study.tables, study.left_out) == ([], ("lora: no module of it has branches",))
