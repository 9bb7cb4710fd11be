"""Test that a third metric in the registry is computed, recorded, exported and shown like PSNR and SSIM."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest

from petlir.benchmark.scoring.registry import METRICS, ProtocolMetric
from tests.helpers.engine import command
from tests.helpers.samples import finished_in


def error(image, clean, rule) -> float:
    """Return the mean absolute error of 8-bit images in grey levels."""
    return float(np.abs(image.astype(float) - clean).mean())


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(METRICS, "mae", ProtocolMetric("mae", "MAE", error, 3, higher_is_better=False))


def test_a_third_metric_goes_everywhere(registered, lab, tmp_path, capsys):
    store = tmp_path / "store"
    images = shutil.copytree(lab.data, tmp_path / "data")  # images that were read before keep their scores
    replace(lab, data=images).run(store, methods="frozen")
    (record,) = finished_in(store)
    rows = list(record.rows("mae"))
    assert [(row.image, row.protocol) for row in rows] == [(row.image, row.protocol) for row in record.rows()]
    # Noise of standard deviation 30 has the mean absolute value 30·√(2/π), less where it is clipped.
    assert all(15 < row.input < 30 * (2 / np.pi) ** 0.5 for row in rows if row.input is not None)
    assert all(0 < row.value < row.input for row in rows if row.input is not None)

    table = tmp_path / "scores.csv"
    assert command(capsys, "export", "--store", store, "--out", table)[0] == 0
    with table.open() as file:
        assert {"psnr", "ssim", "mae"} <= next(csv.DictReader(file)).keys()
    assert command(capsys, "report", "--store", store, "--out", tmp_path / "pages")[0] == 0
    assert any("MAE" in page.read_text() for page in (tmp_path / "pages").rglob("*.html"))
