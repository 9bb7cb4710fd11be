"""Test summaries on known values: each task counts once, under one protocol, and means are over the same images."""

from __future__ import annotations

import io
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import pandas as pd
import pytest

from petlir.benchmark.published import Ordering
from petlir.benchmark.records.files import headlines
from petlir.benchmark.records.schema import Done
from petlir.reports import export
from petlir.reports.answer import ranks
from petlir.reports.figures import pareto
from petlir.reports.figures.ranks import regrets
from petlir.reports.frame import load
from petlir.reports.grids.points import points
from petlir.reports.orderings import findings
from petlir.reports.pages.methods import lines
from petlir.reports.results import FROZEN, INPUT
from petlir.reports.tables import tables
from tests.helpers.samples import typed, typed_all
from tests.reports.stores import record, write_store

WINDOWS = ("rgb@whole", "rgb-float@whole", "rgb@tiles-48", "rgb-float@tiles-48")
"""The protocols of SIDD on a network with global operators; alphabetical order would put the last two first."""
INPUT_PSNR = 20.0


def cell(
    label: str, task: str, levels: Mapping[str, float], seed: int = 0, images: int = 8, **given: Any
) -> dict[str, Any]:
    """Return a record with these PSNR levels in dB by protocol; its cell lists the protocols in the same order."""
    made = record(FROZEN if label == FROZEN else "lora", task, seed, label=label, smoke=False, **given)
    made["cell"]["protocols"] = list(levels)
    made["scores"] = [
        {"set": "photographs", "domain": "photographs", "image": f"{image}", "unit": f"{image}", "protocol": name,
         "psnr": level + image + 0.01 * ((image + seed) % 3), "ssim": 0.9, "input_psnr": INPUT_PSNR, "input_ssim": 0.5}
        for image in range(images)
        for name, level in levels.items()
    ]  # fmt: skip
    return made


def mean(made: Mapping[str, Any], protocol: str) -> float:
    return fmean(score["psnr"] for score in made["scores"] if score["protocol"] == protocol)


def photographs(records: list[dict[str, Any]]) -> Any:
    return next(table for table in tables(typed_all(records), {}) if table.domain == "photographs")


@pytest.fixture(scope="module")
def several() -> list[dict[str, Any]]:
    """Return two methods whose order under the first protocol is reversed under all others."""
    first, second = dict(zip(WINDOWS, (30, 20, 20, 20), strict=True)), dict(zip(WINDOWS, (29, 25, 25, 25), strict=True))
    trained = [cell(name, "sidd", levels, seed) for name, levels in (("lora", first), ("adapter", second))
               for seed in range(5)]  # fmt: skip
    return [cell(FROZEN, "sidd", dict.fromkeys(WINDOWS, 15.0)), *trained]


def test_the_headline_is_the_first_protocol_that_the_cell_names(several):
    assert headlines(typed(several[0])) == {"photographs": "rgb@whole"}
    of_parts = cell("lora", "mixture", {"y@whole": 20.0, "rgb@whole": 21.0})
    for score, set_ in zip(of_parts["scores"], ("rain/photographs", "light/photographs") * 8, strict=True):
        score["set"] = set_
    assert headlines(typed(of_parts)) == {"rain/photographs": "y@whole", "light/photographs": "rgb@whole"}


def test_protocols_that_were_measured_later_are_no_headline(several):
    made = several[0]
    later = {**made, "scores": [{**score, "protocol": "y@whole"} for score in made["scores"][:1]] + made["scores"]}
    assert headlines(typed(later)) == {"photographs": "rgb@whole"}


def test_the_headline_column_comes_first_and_is_told_apart(several):
    table = photographs(several)
    assert [(column.protocol, column.headline) for column in table.columns] == [
        ("rgb@whole", True), ("rgb-float@tiles-48", False), ("rgb-float@whole", False), ("rgb@tiles-48", False),
    ]  # fmt: skip
    assert table.headlines == {"sidd": [0]}


def test_exports_tell_the_headline_column(several, tmp_path):
    store = write_store(tmp_path / "store", several, images=False)
    frame = pd.read_csv(io.StringIO(export.table(store, "csv")))
    assert set(frame[frame.headline].protocol) == {"rgb@whole"}
    assert set(frame[~frame.headline].protocol) == set(WINDOWS[1:])
    heads = export.table(store, "markdown").splitlines()[0].split(" | ")[3:]
    assert ["not the headline protocol" in head for head in heads] == [False, True, True, True]


def test_grids_orderings_and_cards_quote_the_headline(several, tmp_path):
    records = load(write_store(tmp_path / "store", several, images=False))
    ((place, found, _),) = list(points([one for one in records if isinstance(one, Done)], ""))
    assert place.protocol == "rgb@whole"
    lora = next(point for point in found if point.label == "lora")
    assert lora.seeds[0] == pytest.approx(mean(several[1], "rgb@whole"))
    better = Ordering("lora beats adapter", "us", ("lora",), ">", ("adapter",), ("sidd",), "psnr", "")
    (finding,) = findings(records, [better])
    assert (finding.where.protocol, finding.verdict) == ("rgb@whole", "holds")
    line = next(line for line in lines(records) if line.cell.label == "lora")
    every = [mean(made, "rgb@whole") for made in several if made["cell"]["label"] == "lora"]
    assert line.domain == "photographs, rgb@whole"
    assert line.psnr == pytest.approx(fmean(every))


def test_networks_with_other_windows_share_no_figure():
    records = [cell(name, "sidd", {protocol: 25.0}, backbone=backbone) for name in (FROZEN, "lora")
               for backbone, protocol in (("ipt-nano", "rgb@tiles-48"), ("nafnet-nano", "rgb@whole"))]  # fmt: skip
    found = {
        place.protocol: {point.backbone for point in some}
        for place, some, _ in points([one for one in typed_all(records) if isinstance(one, Done)], "")
    }
    assert found == {"rgb@tiles-48": {"ipt-nano"}, "rgb@whole": {"nafnet-nano"}}


TWO = ("rgb@tiles-48", "rgb-float@tiles-48")
GAINS = {"first": (2.0, 0.0), "second": (0.0, 3.0), **{f"other{n}": (-1.0, -1.0) for n in range(5)}}
"""Gains over the frozen network on SIDD, which has two protocols, and on denoising, which has one."""


@pytest.fixture(scope="module")
def unequal() -> Any:
    records = [cell(FROZEN, "sidd", dict.fromkeys(TWO, 20.0)), cell(FROZEN, "denoise_30", {TWO[0]: 20.0})]
    for label, (sidd, denoise) in GAINS.items():
        for seed in range(5):
            records.append(cell(label, "sidd", dict.fromkeys(TWO, 20.0 + sidd), seed))
            records.append(cell(label, "denoise_30", {TWO[0]: 20.0 + denoise}, seed))
    return photographs(records)


def test_the_mean_over_tasks_counts_a_task_once(unequal):
    """Averaged over columns, the gains would be (2 + 2 + 0) / 3 and (0 + 0 + 3) / 3, which is the opposite order."""
    plot = pareto.overview(unequal, {})[0]
    gains = {point.label: point.gain for point in plot.points}
    assert "(2)" in plot.title
    assert gains["first"] == pytest.approx(1.0, abs=0.01)
    assert gains["second"] == pytest.approx(1.5, abs=0.01)


def test_regret_counts_a_task_once(unequal):
    """Averaged over columns, the first method's regret would be (0 + 0 + 3) / 3, below the second's, not above it."""
    drawn = regrets(unequal, {})
    assert drawn
    assert len(drawn.columns) == 2
    lost = {one.label: one.mean.value for one in drawn.methods}
    assert lost["first"] == pytest.approx(1.5, abs=0.01)
    assert lost["second"] == pytest.approx(1.0, abs=0.01)


def test_the_answer_counts_headline_columns(unequal):
    *said, note = ranks([unequal])
    assert note.startswith("The demo track")
    assert len(said) == 2 and all(sentence.startswith("Best on ") for sentence in said)
    assert {sentence.partition("): ")[2].partition(",")[0] for sentence in said} == {"first", "second"}


def test_test_sets_of_a_task_share_its_weight():
    records = []
    for label, (sidd, denoise) in {FROZEN: (0.0, 0.0), **GAINS}.items():
        made = cell(label, "sidd", {TWO[0]: 20.0 + sidd})
        again = [{**score, "set": "Set14", "psnr": score["psnr"] - 1.0} for score in made["scores"]]
        made["scores"] += again
        records += [made, cell(label, "denoise_30", {TWO[0]: 20.0 + denoise})]
    gains = {point.label: point.gain for point in pareto.overview(photographs(records), {})[0].points}
    assert gains["first"] == pytest.approx(1.0)
    assert gains["second"] == pytest.approx(1.5)


def test_a_second_evaluation_window_does_not_apply_to_other_methods():
    """Only a method with an operator over the whole image is also scored in training-size tiles."""
    both = {"rgb@whole": 25.0, "rgb@tiles-48": 24.0}
    records = [
        cell(FROZEN, "sidd", {"rgb@whole": 20.0}),
        cell("lora", "sidd", {"rgb@whole": 24.5}),
        cell("adaptir", "sidd", both),
        cell("adapter", "low_light", {"rgb@whole": 22.0}),
    ]
    table = photographs(records)
    states = {row.label: {column.protocol: value.state for column, value in zip(table.columns, row.values, strict=True)
                          if column.task == "sidd"} for row in table.rows}  # fmt: skip
    other = {"rgb@whole": "done", "rgb@tiles-48": "not-applicable"}
    assert states["adaptir"] == states[INPUT] == {"rgb@whole": "done", "rgb@tiles-48": "done"}
    assert states[FROZEN] == states["lora"] == other
    assert states["adapter"] == {"rgb@whole": "missing", "rgb@tiles-48": "missing"}
    plot = pareto.overview(photographs(records[:3]), {})[0]
    assert {point.label for point in plot.points} == {"lora", "adaptir"}


def test_what_could_be_measured_is_missing():
    records = [cell("lora", "sidd", {"rgb@whole": 24.0, "rgb@whole+x8": 24.5}), cell("ssf", "sidd", {"rgb@whole": 23})]
    table = photographs(records)
    place = next(place for place, column in enumerate(table.columns) if column.protocol.endswith("+x8"))
    assert table.row("ssf").values[place].state == "missing"


def identical(*, of_input: bool) -> Any:
    """Return two methods on four images; the first input, or lora's first output, equals its clean image."""
    records = [cell(FROZEN, "sidd", {"rgb@whole": 20.0}, images=4), cell("lora", "sidd", {"rgb@whole": 24.0}, images=4)]
    for made in records:
        made["scores"][0] |= {"input_psnr": "inf", "input_ssim": 1.0} if of_input else {}
    if not of_input:
        records[1]["scores"][0] |= {"psnr": "inf", "ssim": 1.0}
    return records


@pytest.mark.parametrize("of_input", [True, False])
def test_an_identical_image_is_left_out_of_every_mean_of_its_column(of_input):
    records = identical(of_input=of_input)
    table = photographs(records)
    assert (table.columns[0].identical, table.columns[0].images) == (1, 4)
    values = {row.label: row.values[0] for row in table.rows}
    for made in records:
        found = values[made["cell"]["label"]]
        assert found.psnr == pytest.approx(fmean(score["psnr"] for score in made["scores"][1:]))
        assert found.scores["ssim"] == pytest.approx(0.9)
        assert found.input == pytest.approx(found.psnr - values[INPUT].psnr)
    assert values[INPUT].psnr == pytest.approx(INPUT_PSNR)
    assert values[INPUT].scores["ssim"] == pytest.approx(0.5)
    assert values["lora"].frozen == pytest.approx(values["lora"].psnr - values[FROZEN].psnr)


def test_the_export_says_how_many_images_are_identical(tmp_path):
    store = write_store(tmp_path / "store", identical(of_input=True), images=False)
    frame = pd.read_csv(io.StringIO(export.table(store, "csv")))
    assert set(frame.identical_images) == {1}
    assert "1 identical image left out of the means" in export.table(store, "markdown")


def test_a_column_of_identical_images_is_infinite():
    made = cell("lora", "sidd", {"rgb@whole": 24.0}, images=2)
    for score in made["scores"]:
        score |= {"psnr": "inf", "ssim": 1.0}
    found = photographs([made]).row("lora").values[0]
    assert (found.psnr, found.scores["ssim"], found.infinite) == (float("inf"), 1.0, 2)
