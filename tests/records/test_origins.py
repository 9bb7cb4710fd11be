"""Test a store's own records beside submitted ones: which of them is shown, and with which values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from petlir.benchmark.records.origins import FILE
from petlir.benchmark.store import Store
from petlir.reports.frame import load
from tests.helpers.samples import record
from tests.reports.stores import write_store

OWN, CLAIMED, INFERRED, TRAINED = "run here", "claimed", "re-inferred", "re-trained"
NOTE = {"by": "Ada", "tuning": "six rates", "used_test_data": False}


def several(root: Path, *levels: tuple[str, str]) -> Path:
    """Write a store with several records of one cell, each with its level and the time at which it finished."""
    records = []
    for place, (_, finished) in enumerate(levels):
        records.append(record(key=f"{place}" * 64, finished=f"2026-11-21T{finished}"))
    store = write_store(root, records, images=False)
    notes = {one["key"]: NOTE | {"level": level} for one, (level, _) in zip(records, levels, strict=True)}
    (store / FILE).write_text(json.dumps({key: note for key, note in notes.items() if note["level"] != OWN}))
    return store


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        ([(OWN, "10:00:00+00:00"), (TRAINED, "11:00:00+00:00")], 0),
        ([(TRAINED, "11:00:00+00:00"), (OWN, "10:00:00+00:00")], 1),
        ([(INFERRED, "11:00:00+00:00"), (TRAINED, "10:00:00+00:00"), (CLAIMED, "12:00:00+00:00")], 1),
        ([(INFERRED, "11:00:00+00:00"), (INFERRED, "12:00:00+00:00")], 1),
        ([(OWN, "12:30:00+02:00"), (OWN, "11:00:00Z")], 1),  # half past ten, and eleven
    ],
)
def test_own_records_come_first_then_the_level_then_the_date(tmp_path, levels, shown):
    (found,) = load(several(tmp_path, *levels))
    assert found.key == f"{shown}" * 64


def test_figures_that_no_verification_derives_are_not_shown(tmp_path):
    own, inferred, trained = (
        next(Store(several(tmp_path / level, (level, "10:00:00Z"))).records()) for level in (OWN, INFERRED, TRAINED)
    )
    assert own.origin is None
    assert own.curve
    assert own.convergence is not None
    assert (inferred.curve, inferred.convergence, bool(trained.curve), trained.convergence) == ([], None, True, None)
    for one in (inferred, trained):
        assert one.state == "done"
        assert (one.costs.exclusive, one.costs.step_seconds, one.costs.memory.peak) == (False, None, None)


def test_the_doubling_test_is_shown_where_the_project_ships_it(tmp_path):
    store = several(tmp_path, (INFERRED, "10:00:00Z"))
    notes = json.loads((store / FILE).read_text())
    (store / FILE).write_text(json.dumps({key: note | {"convergence": True} for key, note in notes.items()}))
    assert next(Store(store).records()).convergence is not None
