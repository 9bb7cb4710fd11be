"""Test the pages of named grids on made-up records with known values."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from markupsafe import escape

from petlir.benchmark.published import claims
from petlir.reports.context import ReportContext
from petlir.reports.grids.named import named_grids
from petlir.reports.grids.studies import studies
from petlir.reports.pages.grids import pages
from petlir.reports.templating import templates
from tests.helpers.samples import typed, typed_all
from tests.reports.stores import doubling, record, sha, unfinished

CLAIMS = claims()
COUNTS = (16, 32, 64, 128, 256)
PLACES = ("parallel-mlp", "parallel-attention", "after-mlp", "after-attention")


def cell(method: str, psnr: float, seed: int = 0, task: str = "hybrid_lr4_noise30", **given: Any) -> dict[str, Any]:
    """Return a record with mean PSNR `psnr` over photographs; the PSNR rises by 1 dB from each image to the next."""
    known = "frozen" if method == "frozen" else "lora"
    made = record(known, "hybrid_lr4_noise30", seed, smoke=False, **{"label": method, **given})
    made["cell"] |= {"task": task, "method": method}
    made["key"] = sha(f"{made['cell']['label']} {task} {seed} {made['cell']['backbone']}")
    for set_ in ("photographs", "leaves-test"):
        rows = [row for row in made["scores"] if row["set"] == set_]
        for number, row in enumerate(rows):
            row["psnr"] = psnr + number - (len(rows) - 1) / 2
    return made


def placed(levels: tuple[float, ...], seeds: int = 3, **given: Any) -> list[dict[str, Any]]:
    """Return records of the grid adaptir-placement, with steps of 0.02 dB between seeds."""
    labels = ["adaptir[hidden=19]", *(f"adaptir[hidden=19; position={place}]" for place in PLACES[1:])]
    return [cell("frozen", 20.0), *(
        cell("adaptir", level + 0.02 * seed, seed, label=label, options={"hidden": 19, "position": place}, **given)
        for label, place, level in zip(labels, PLACES, levels, strict=True) for seed in range(seeds)
    )]  # fmt: skip


def scaled() -> list[dict[str, Any]]:
    """Return records of the grid data-scale in which colora improves with more images and full-ft does not always."""
    levels = {
        "colora[budget=50]": (21, 22, 23, 24, 25),
        "full-ft": (21, 23, 22, 24, 24),
        "scratch": (10, 11, 12, 13, 14),
    }
    return [
        cell(label.partition("[")[0], level + 0.1 * seed, seed, f"{task}[images={count}]", label=label,
             backbone="nafnet-nano")
        for task in ("low_light", "sidd", "derain_heavy")
        for label, several in levels.items()
        for count, level in zip(COUNTS, several, strict=True)
        for seed in range(3)
    ] + [cell("frozen", 9.0, 0, f"low_light[images={count}]", backbone="nafnet-nano") for count in COUNTS]  # fmt: skip


def of(name: str, records: list[dict[str, Any]]) -> Any:
    return next(page for page in studies(typed_all(records), CLAIMS) if page.grid.name == name)


def photographs(page: Any, task: str = "") -> Any:
    """Return the figure of a task on photographs, or the first figure if no task is given."""
    return next(f for f in page.figures if f.place.set == "photographs" and f.place.task.startswith(task))


def test_every_grid_of_a_paper_has_a_page_that_names_a_known_axis():
    found = {one.name: one for one in named_grids()}
    assert set(found) >= {
        "adaptir-branches", "adaptir-design", "adaptir-placement", "size-curves", "data-scale", "colora-scaling",
        "pretraining", "adair-pretraining", "colora-location", "uir-composition",
    }  # fmt: skip
    assert {one.along for one in found.values()} == {"", "parameters", "images", "alpha"}


def test_rows_are_means_over_images_and_seeds_beside_the_papers():
    figure = photographs(of("adaptir-placement", placed((24.0, 23.5, 23.0, 22.0))))
    by_label = {point.label: point for point in figure.points}
    first = by_label["adaptir[hidden=19]"]
    assert first.seeds == pytest.approx((24.0, 24.02, 24.04))
    assert first.over_frozen == pytest.approx(4.02)
    assert figure.published["adaptir[hidden=19]"] == pytest.approx((26.48 + 24.88 + 22.88) / 3)
    assert figure.published["adaptir[hidden=19; position=after-attention]"] == pytest.approx(
        (25.60 + 24.19 + 22.07) / 3
    )
    assert figure.source == "AdaptIR, tables 7 and 1: Set5, Set14, Urban100"
    assert (
        "Of 6 pairs of trained methods that AdaptIR also reports, "
        "5 have the same order of mean PSNR here as in the paper." in figure.sentences
    )
    assert (
        "Highest mean PSNR of the converged methods: adaptir[hidden=19]; significantly above every other method."
        in figure.sentences
    )


def test_what_contradicts_the_paper_is_said_as_it_is():
    figure = photographs(of("adaptir-placement", placed((22.0, 22.5, 23.0, 24.0))))
    assert figure.sentences[0].startswith("adaptir[hidden=19; position=after-attention] has the highest mean")
    assert (
        "Of 6 pairs of trained methods that AdaptIR also reports, "
        "1 has the same order of mean PSNR here as in the paper." in figure.sentences
    )


def test_one_seed_and_smoke_and_what_has_not_converged_say_so():
    alone = photographs(of("adaptir-placement", placed((24.0, 23.5, 23.0, 22.0), seeds=1)))
    assert "Each mean is from a single seed, so differences may be due to chance." in alone.sentences
    brief = placed((24.0, 23.5, 23.0, 22.0))
    for one in brief:
        one["smoke"] = True
    sentences = photographs(of("adaptir-placement", brief)).sentences
    assert "These are smoke runs, which are too short to rank methods." in sentences
    rising = placed((24.0, 23.5, 23.0, 22.0))
    rising[1]["convergence"] = doubling(0.3)
    said = " ".join(photographs(of("adaptir-placement", rising)).sentences)
    assert "Highest mean PSNR of the converged methods: adaptir[hidden=19; position=parallel-attention]" in said
    assert "Methods left out because they have not converged: adaptir[hidden=19]." in said


def test_curves_stand_where_their_seeds_are():
    figure = photographs(of("data-scale", scaled()), "low_light")
    drawn = figure.drawing
    curve = next(curve for curve in drawn.curves if curve.name == "colora[budget=50]")
    assert [point.x for point in curve.points] == [*COUNTS]
    assert curve.line.split()[-1] == f"{drawn.x(256)},{drawn.y(25.1)}"
    band = curve.band.split()
    assert (band[0], band[-1]) == (f"{drawn.x(16)},{drawn.y(21.2)}", f"{drawn.x(16)},{drawn.y(21.0)}")
    assert [(level.name, level.mean) for level in drawn.levels] == [("frozen", 9.0)]
    gains, rising, spread, *_ = figure.sentences
    assert "colora[budget=50] +4.00 dB (16 to 256)" in gains and "full-ft +3.00 dB" in gains
    assert rising == "Mean PSNR rises from each point to the next for scratch and colora[budget=50]; not for full-ft."
    assert spread == "The mean PSNR differs between seeds by up to 0.20 dB."


def test_the_mean_over_tasks_is_taken_seed_by_seed():
    records = scaled()
    for one in records:
        if one["cell"]["task"].startswith("sidd") and one["cell"]["seed"] == 2:
            for row in one["scores"]:
                row["psnr"] += 3.0
        if one["cell"]["task"].startswith("low_light[images=64]"):
            one["convergence"] = doubling(-0.3)
    figure = photographs(of("data-scale", records), "mean")
    assert figure.place.task == "mean of derain_heavy, low_light and sidd"
    curve = next(curve for curve in figure.drawing.curves if curve.name == "colora[budget=50]")
    for level, point in zip((21, 22, 23, 24, 25), curve.points, strict=True):
        assert point.seeds == pytest.approx((level, level + 0.1, level + 0.2 + 1.0))
        assert point.converged is (point.x != 64)
    assert "Curves with points that have not converged: scratch, full-ft and colora[budget=50]." in figure.sentences
    without = [one for one in records if not one["cell"]["task"].startswith("sidd[images=16]")]
    figure = photographs(of("data-scale", without), "mean")
    assert {point.x for curve in figure.drawing.curves for point in curve.points} == {32, 64, 128, 256}


def test_random_weights_are_compared_within_their_network():
    records = [
        cell(method, level + ("ipt" in backbone) * 10 - (":" in backbone) * 2 + 0.02 * seed, seed, "low_light",
             label=label, backbone=backbone)
        for backbone in ("nafnet-nano", "nafnet-nano:none", "ipt-nano", "ipt-nano:none")
        for method, label, level in (("full-ft", "full-ft", 15.0), ("colora", "colora[budget=50]", 14.0))
        for seed in range(3)
    ]  # fmt: skip
    page = of("pretraining", records)
    said = photographs(page).sentences
    assert (
        "Gain of ipt-nano over the same network with random weights: full-ft +2.00 dB, colora[budget=50] +2.00 dB."
        in said
    )
    assert any(
        line.startswith("nafnet-nano: full-ft has the highest mean PSNR of the trained methods (15.02") for line in said
    )
    assert (len(page.missing), page.places) == (4, 12)
    assert "restormer-nano · full-ft · low_light: no record" in page.missing


def test_csv_holds_every_point():
    page = of("data-scale", scaled())
    rows = list(csv.DictReader(io.StringIO(page.csv)))
    assert len(rows) == sum(len(figure.points) for figure in page.figures)
    mine = [r for r in rows if (r["label"], r["task"], r["set"]) == ("colora[budget=50]", "low_light", "photographs")]
    assert [(float(r["images"]), float(r["psnr"]), r["seeds"]) for r in mine] == [
        (count, 21.1 + step, "3") for step, count in enumerate(COUNTS)
    ]


def test_half_a_grid_has_its_gaps_and_less_has_no_page():
    records = placed((24.0, 23.5, 23.0, 22.0))
    lost = [one for one in records if "after" not in one["cell"]["label"]]
    lost.append(unfinished(records[-1], "failed", "the loss is not a number"))
    page = of("adaptir-placement", lost)
    assert [line.partition(": ")[2] for line in page.missing] == ["no record", "failed: the loss is not a number"]
    assert studies([typed(one) for one in lost if "position" not in one["cell"]["label"]], CLAIMS) == []


def test_a_grid_that_cannot_be_read_is_named_and_the_others_stand(tmp_path):
    for one in named_grids():
        if one.name == "adaptir-placement":
            (tmp_path / "known.json").write_text(json.dumps({**one.asked, "page": {"title": "Known"}}))
            strange = {**one.asked, "methods": "nothing-known", "page": {"title": "Strange"}}
            (tmp_path / "strange.json").write_text(json.dumps(strange))
    lines: list[str] = []
    records = placed((24.0, 23.5, 23.0, 22.0))
    assert [page.grid.title for page in studies(typed_all(records), CLAIMS, lines.append, tmp_path)] == ["Known"]
    assert len(lines) == 1 and lines[0].startswith("grid strange: unknown method 'nothing-known'")
    (tmp_path / "torn.json").write_text("{")
    lines.clear()
    assert studies(typed_all(records), CLAIMS, lines.append, tmp_path) == []
    assert "torn.json is damaged" in lines[0]


def test_the_pages_hold_it_all(tmp_path):
    made, sized = templates(), ("data-scale", "adaptir-placement")
    records = [*scaled(), *placed((24.0, 23.5, 23.0, 22.0))]
    texts = {
        page.path: made.get_template(page.template).render(root="../", here="", navigation=[], **page.values)
        for page in pages(ReportContext(tmp_path, typed_all(records), []))
    }
    assert set(texts) == {f"grids/{name}.{kind}" for name in (*sized, "stored") for kind in ("html", "csv")} | {
        "grids/index.html"
    }
    for name in sized:
        found, text = of(name, records), texts[f"grids/{name}.html"]
        assert f"petlir run --grid {name}" in text
        assert all(escape(figure.sentences[0]) in text for figure in found.figures)
        assert text.count("<svg viewBox") == sum(figure.drawing is not None for figure in found.figures)
        assert texts[f"grids/{name}.csv"].strip() == found.csv.strip()
        assert f'href="../grids/{name}.html"' in texts["grids/index.html"]
    assert "24.75" in texts["grids/adaptir-placement.html"]  # the paper's mean over three sets
