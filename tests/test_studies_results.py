"""The committed runs of the named grids: whole, and what their README prints is in their records."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from petlir.benchmark.plugins import find
from petlir.reports.frame import load
from petlir.reports.grids.studies import studies

STORE = Path(__file__).parents[1] / "results" / "studies"
WHOLE = ("adaptir-branches", "adaptir-placement", "adaptir-design", "size-curves", "data-scale")


def refuse(line):
    raise AssertionError(line)


@pytest.fixture(scope="module")
def pages():
    return {page.grid.name: page for page in studies(load(STORE, refuse), find(), refuse)}


def test_these_grids_are_whole_with_three_seeds(pages):
    for name in WHOLE:
        assert pages[name].missing == ()
        trained = [point for figure in pages[name].figures for point in figure.points if point.trained]
        assert {len(point.seeds) for point in trained} == {3}


def test_the_committed_points_are_those_of_the_records(pages):
    for name, page in pages.items():
        assert (STORE / "pages" / "grids" / f"{name}.csv").read_text(encoding="utf-8") == page.csv


def test_every_level_that_the_readme_prints_is_that_of_a_point_or_a_seed(pages):
    said = (STORE / "README.md").read_text(encoding="utf-8")
    found = pd.concat(pd.read_csv(STORE / "pages" / "grids" / f"{name}.csv") for name in pages)
    levels = {f"{value:.2f}" for column in ("psnr", "lowest_seed", "highest_seed") for value in found[column]}
    printed = re.findall(r"(?<![\d.])\d{1,2}\.\d\d(?![\d.])(?= dB|,| and| to|;|\.|\)| \|)", said)
    levels |= {f"{value:.2f}" for value in found.highest_seed - found.lowest_seed}
    assert len(printed) > 60
    assert set(printed) <= levels
