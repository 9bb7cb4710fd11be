"""Test that a variant of a task has its own cell: key, record, pictures and column."""

from __future__ import annotations

import re

import numpy as np
import pytest

from petlir.benchmark.images.reading import read_image
from petlir.benchmark.runs.planning import Planner
from petlir.reports.tables import tables
from tests.helpers.samples import finished_in

BOTH = "tiny[noise=rounded,truncated]"
NAMES = ["tiny", "tiny[noise=truncated]"]


def test_a_variant_has_its_own_record_pictures_and_column(lab, tmp_path):
    lab.run(tmp_path, methods="frozen", tasks=BOTH)
    records = sorted(finished_in(tmp_path), key=lambda record: str(record.cell.task))
    assert [record.cell.task for record in records] == NAMES
    assert len({record.key for record in records}) == len({record.digests.data for record in records}) == 2
    (table,) = tables(records, dict(lab.context().plugins.tasks))
    assert [column.title for column in table.columns] == [
        "Noise on small images",
        "Noise on small images[noise=truncated]",
    ]
    kept, cut = (
        read_image(next((tmp_path / "images/demo" / name).glob("*/small-test/degraded/0.png"))).astype(int)
        for name in NAMES
    )
    assert set(np.unique(kept - cut)) == {0, 1}
    assert lab.run(tmp_path, methods="frozen", tasks=BOTH).worked == 0


def test_a_variant_trains_from_the_same_start_on_the_same_crops(lab, tmp_path):
    lab.run(tmp_path, methods="lora", tasks=BOTH)
    kept, cut = (record.curve for record in finished_in(tmp_path))
    assert kept[-1].loss == pytest.approx(cut[-1].loss, rel=0.05)
    assert kept[-1].loss != cut[-1].loss


def test_floats_go_through_a_cell(lab, tmp_path):
    lab.run(tmp_path, methods="frozen", tasks="tiny[noise=rounded,float]")
    exact, kept = sorted(finished_in(tmp_path), key=lambda record: "float" not in record.cell.task)
    assert exact.state == kept.state == "done"
    for one, other in zip(exact.rows(), kept.rows(), strict=True):
        assert one.input == other.input
        assert one.value != other.value
        assert one.value == pytest.approx(other.value, abs=0.5)


def test_the_key_names_the_variant(lab):
    planner = Planner(lab.request(methods="frozen", tasks=BOTH))
    kept, cut = (planner.plan(cell).parts for cell in planner.cells)
    assert {name for name in kept if kept[name] != cut[name]} >= {"task"}


def test_a_record_says_how_its_images_were_degraded(lab, tmp_path):
    lab.run(tmp_path, methods="frozen", tasks="tiny[noise=float]")
    (record,) = finished_in(tmp_path)
    assert record.cell.degradation == "GaussianNoise(sigma=30, kept='float', trained_on=None)"
    assert re.fullmatch(r"Pillow [\d.]+, libjpeg(-turbo)? [\d.]+", record.environment.versions["JPEG encoder"])
    compressed = str(lab.context().plugins.task("hybrid_lr4_jpeg30").degradation)
    assert "Bicubic(scale=4), Jpeg(quality=30, on='images', swapped=False, subsampling='4:2:0')" in compressed


def test_a_record_says_how_long_training_waited(lab, tmp_path):
    lab.finished(tmp_path, methods="frozen,lora")
    waited = {record.cell.method: record.costs.waiting_share for record in finished_in(tmp_path)}
    assert waited["frozen"] is None
    assert 0 < (waited["lora"] or 0.0) < 1
