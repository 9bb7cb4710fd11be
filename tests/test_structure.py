"""Test the order of import layers, and the words in names."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.structure import faults


def test_no_arrow_runs_upward_and_no_name_holds_an_avoided_word():
    assert faults() == []


def test_what_breaks_the_order_is_named(tmp_path: Path):
    for name, text in {
        "benchmark/errors.py": "from petlir.benchmark.cells import run",
        "benchmark/cells/run.py": "from petlir import reports",
        "benchmark/scoring/a.py": "from petlir.benchmark.training.loop import fit",
        "benchmark/training/loop.py": "import petlir.benchmark.scoring.a\n\ndef fit(payload): ...",
        "benchmark/news.py": "from petlir.benchmark.errors import unknown",
        "reports/site.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert faults(tmp_path) == [
        "cells imports reports, which stands above it: benchmark/cells/run.py:1",
        "errors imports cells, which stands above it: benchmark/errors.py:1",
        "news stands on no floor; add it to FLOORS (benchmark/news.py:1)",
        "scoring and training import each other: benchmark/scoring/a.py:1, benchmark/training/loop.py:1",
        "benchmark/training/loop.py:3: payload holds 'payload'; expected a name with 'job'",
    ]
