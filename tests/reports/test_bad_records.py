"""Test records that must not be compared with others: they are omitted or separated, each with one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.files import read_record
from petlir.reports.frame import load
from petlir.reports.site import write_report
from petlir.reports.tables import tables
from tests.helpers.samples import typed
from tests.reports.stores import record, write_store


def newer(root: Path) -> Path:
    """Write a record of a later schema version and return its file."""
    later = record("ssf", "sr_x4") | {"schema": "petlir-record/3", "novelty": 1}
    write_store(root, [later], images=False)
    return next(root.glob("cells/*/*/ssf-*/record.json"))


def test_a_record_of_a_newer_schema_is_left_out_with_one_line(tmp_path):
    store = write_store(tmp_path / "store", [record("lora", "sr_x4")], images=False)
    path = newer(store)
    lines: list[str] = []
    assert [one.cell.label for one in load(store, lines.append)] == ["lora"]
    assert lines == [
        f"{path} is a petlir-record/3 record; this version reads petlir-record/2: install a newer petlir to read it"
    ]
    with pytest.raises(PetlirError, match="petlir-record/3"):
        read_record(path)
    assert "petlir-record/3 record; this version reads" in write_report(store, tmp_path / "out").read_text()


def test_costs_of_different_devices_never_share_a_column():
    slow, fast = (record("lora", "sr_x4", seed=seed) for seed in (0, 1))
    fast["environment"]["device"] = "NVIDIA H100"
    fast["costs"]["step_seconds"] = {"median": 0.001, "p95": 0.002}
    found = {table.group.device: table.row("lora") for table in tables([typed(slow), typed(fast)], {})}
    times = {device: row.costs.step for device, row in found.items() if row and row.costs}
    assert times == {"cpu": 0.1, "NVIDIA H100": 0.001}


def test_cells_on_other_test_images_are_named(tmp_path):
    one, other = record("lora", "sr_x4"), record("ssf", "sr_x4")
    other["digests"]["data"] = "0" * 64
    page = write_report(write_store(tmp_path / "store", [one, other], images=False), tmp_path / "out").read_text()
    assert "sr_x4 on the demo track: runs were scored on 2 different versions of the test images" in page
