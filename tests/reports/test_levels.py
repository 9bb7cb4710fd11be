"""Test that tables and exports show each record's level of verification and its submitter."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.levels import FILE
from petlir.reports.export import table
from petlir.reports.frame import load, score_frame
from tests.reports.stores import record, write_store


def origin(level: str, by: str) -> dict[str, object]:
    return {"level": level, "by": by, "tuning": "as the records say", "used_test_data": False}


@pytest.fixture
def merged(tmp_path):
    """Write a store whose cells are partly its own and partly from two archives.

    One method comes from both archives, and another from the store and one archive.
    """
    cells = {(method, seed): record(method, "sr_x4", seed) for method in ("lora", "adapter", "ssf") for seed in (0, 1)}
    store = write_store(tmp_path, list(cells.values()), images=False)
    known = {
        cells["lora", 0]["key"]: origin("re-trained", "Ada"),
        cells["lora", 1]["key"]: origin("re-scored", "Grace; & Co"),
        cells["adapter", 1]["key"]: origin("claimed", "Ada"),
    }
    (store / FILE).write_text(json.dumps(known))
    return store


def test_each_record_has_its_own_level_and_source(merged):
    frame = score_frame(load(merged))
    found = {place: rows.iloc[0] for place, rows in frame.groupby(["label", "seed"])}
    assert {place: (row.level, row.source) for place, row in found.items()} == {
        ("lora", 0): ("re-trained", "Ada"),
        ("lora", 1): ("re-scored", "Grace; & Co"),
        ("adapter", 0): ("run here", ""),
        ("adapter", 1): ("claimed", "Ada"),
        ("ssf", 0): ("run here", ""),
        ("ssf", 1): ("run here", ""),
    }


def test_a_row_is_believed_as_far_as_the_least_of_its_records(merged):
    rows = pd.read_csv(io.StringIO(table(merged, "csv")), keep_default_na=False)
    found = {row.method: (row.level, row.source) for row in rows.itertuples() if row.kind == "petl"}
    assert found == {
        "lora": ("re-scored", "Ada; Grace; & Co"),
        "adapter": ("claimed", "Ada"),
        "ssf": ("run here", ""),
    }


def test_a_damaged_note_is_one_line(merged):
    (merged / FILE).write_text(json.dumps({"0" * 64: origin("believed", "Ada")}))
    with pytest.raises(PetlirError, match=r"verification\.json is damaged: expected levels among claimed, re-scored"):
        load(merged)
