"""Test that numbers in documents stand between markers and equal those of the records; none is typed by hand."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.reports.documents import BLOCK, DOCUMENTS, Stores, block, refreshed
from tests.reports.stores import ranked_records, write_store

ROOT = Path(__file__).parents[2]
PATHS = sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))
DECIBELS = re.compile(r"(?<![\d.])(?<![<>≤≥±])(?<![<>≤≥±] )\d+(?:[.,]\d+)*\s*dB\b")
"""A number in dB; after a comparison sign, it is the bound of a rule, not a result."""
BOUNDS = ("changes by less than 0.1 dB", "flat within 0.01 dB of the best")
"""Bounds of rules that documents state in a sentence; no other number may appear like this."""
SCORES = re.compile(r"^\s*\|.*(?<![\d.])\d{1,2}\.\d{2,}(?![\d.])", re.MULTILINE)
"""A table row with a decimal number."""


def typed_by_hand(text: str) -> list[str]:
    """Return the results in a document that are not in a generated block."""
    outside = BLOCK.sub("", text)
    for bound in BOUNDS:
        outside = re.sub(r"\s+".join(map(re.escape, bound.split())), "", outside)
    return [found[0] for pattern in (DECIBELS, SCORES) for found in pattern.finditer(outside)]


@pytest.fixture(scope="module")
def committed():
    return Stores(ROOT)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return records whose task `denoise_30` is also scored under a second protocol, 5 dB higher, and their store."""
    records = ranked_records(2)
    for one in records:
        if one["cell"]["task"] == "denoise_30":
            one["cell"]["protocols"] = ["rgb", "rgb-float"]
            one["scores"] += [{**score, "protocol": "rgb-float", "psnr": score["psnr"] + 5} for score in one["scores"]]
    root = tmp_path_factory.mktemp("root")
    write_store(root / "store", records, images=False)
    return Stores(root), records


def test_the_best_method_of_each_task_has_a_line(tmp_path):
    write_store(tmp_path / "store", ranked_records(3), images=False)
    _, _, *lines = block("best store=store", Stores(tmp_path)).splitlines()
    assert len(lines) == 3
    assert all("provisional" in line for line in lines)
    assert {tuple(sorted(re.findall("adapter|twin", line))) for line in lines} == {("adapter", "twin")}
    (line,) = block("best store=store tasks=sr_x4", Stores(tmp_path)).splitlines()[2:]
    assert line in lines


def test_the_documents_are_there():
    assert {path.relative_to(ROOT).parts[0] for path in PATHS} == {"README.md", "results"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_figures_of_a_document_are_those_of_its_records(path, committed):
    text = path.read_text(encoding="utf-8")
    assert text == refreshed(text, committed), "`nox -s figures` generates them again"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_figure_is_typed_by_hand(path):
    assert typed_by_hand(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("The frozen network has 26.24 dB.", 1),
        ("from 33.17 to 33.42 dB", 1),
        ("| lora | 28.71 | 30.02 |", 1),
        ("converged: a change < 0.1 dB, ± 0.1 dB of a claim", 0),
        ("converged where its PSNR changes by\nless than 0.1 dB", 0),
        ("no method moves it by less than 0.09 dB", 1),
        ("| `demo` | 4 photographs | nothing |", 0),
        ("<!-- figures: answer store=s -->\n| lora | 28.71 | of 30.0 dB |\n<!-- end -->", 0),
        ("<!-- figures: answer store=s -->\n26 dB\n<!-- end -->\nand 27 dB", 1),
    ],
)
def test_hand_typed_figures_are_seen(text, figures):
    assert len(typed_by_hand(text)) == figures


def test_a_figure_that_was_changed_by_hand_is_undone(made):
    stores, _ = made
    text = refreshed("<!-- figures: table store=store tasks=sr_x4 -->\n<!-- end -->\n", stores)
    changed = re.sub(r"\d\d\.\d\d", "39.99", text, count=1)
    assert changed != text
    assert refreshed(changed, stores) == text


def test_a_table_quotes_the_headline_protocol_and_names_it(made):
    stores, records = made
    text = block("table store=store tasks=denoise_30", stores)
    heads, _, *rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert len(heads) == 3
    assert "photographs, rgb, seen" in heads[2]
    printed = {row[0]: row[-1].strip("*") for row in rows}
    for label in ("frozen", "lora", "full-ft", "ssf"):
        mine = [one for one in records if (one["cell"]["label"], one["cell"]["task"]) == (label, "denoise_30")]
        scores = [score for one in mine for score in one["scores"] if score["domain"] == "photographs"]
        assert printed[label] == f"{fmean(score['psnr'] for score in scores if score['protocol'] == 'rgb'):.2f}"


def test_a_store_that_is_not_there_is_one_sentence(made):
    stores, _ = made
    for what in ("answer store=none", "table store=none", "grid store=none grid=demo", "grid store=store grid=demo"):
        (line,) = block(what, stores).splitlines()
        assert line == f"`{what.split('store=')[1].split()[0]}` has no records for this block."


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("tabel store=store", "did you mean 'table'"),
        ("table store=store taks=sr_x4", "did you mean 'tasks'"),
        ("table", "expected store="),
        ("grid store=store", "expected grid="),
    ],
)
def test_what_a_marker_gets_wrong_is_one_line(made, what, line):
    with pytest.raises(PetlirError, match=line):
        block(what, made[0])


def test_a_block_without_an_end_is_refused(made):
    with pytest.raises(PetlirError, match="expected '<!-- end -->'"):
        refreshed("<!-- figures: answer store=store -->\n", made[0])
