"""The committed runs of the named grids: whole, and what their README prints is in their records."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

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


def test_the_levels_of_the_readme_are_those_of_the_first_protocol():
    """Rain and camera noise, where the tiles of the second window give other levels; straight from the files."""
    said = (STORE / "README.md").read_text(encoding="utf-8")
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for path in STORE.glob("cells/nafnet-nano/*/*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        cell = record["cell"]
        task, _, images = cell["task"].removesuffix("]").partition("[images=")
        scores = [s for s in record["scores"] if s["domain"] == "photographs" and s["protocol"] == cell["protocols"][0]]
        levels = found.setdefault((task, cell["label"]), {}).setdefault(images, [])
        levels.append(fmean(score["psnr"] for score in scores))
    for task, protocol in (("derain\\_heavy", "y@whole"), ("sidd", "rgb@whole"), ("low\\_light", "rgb@whole")):
        table = said.split(f"**{task}: photographs, {protocol}; 200 steps")[1].split("\n\n")[1]
        for label in ("scratch", "full-ft", "colora[budget=50]"):
            by_count = found[task.replace("\\", ""), label]
            cells = [f"{fmean(by_count[images]):.2f}" for images in ("16", "32", "64", "128", "256")]
            name = label.replace("[", "\\[").replace("]", "\\]")
            assert f"| {name} | {' | '.join(cells)} |" in table
