from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from petlir.benchmark.cells.learning_rate import _rows
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.publishing.levels import FILE as LEVELS
from petlir.benchmark.publishing.levels import origins
from petlir.benchmark.publishing.manifest import read as read_manifest
from petlir.benchmark.publishing.submit import _trials
from petlir.benchmark.records import json_files
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.records.json_files import read_json
from petlir.benchmark.runs.interim_analyses import FILE as STATED
from petlir.benchmark.runs.interim_analyses import stated
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index
from tests.helpers.samples import record

DEEP = "[" * 100_000
WRONG_TYPES = (
    '[{"backbone": 1, "task": [], "track": {}, "steps": "x", "seeds": ["a"], "alpha": "b"},'
    ' {"rate": "x", "validation_psnr": [], "curve": 5, "cell": 5}]'
)
READERS = {
    RECORD: lambda folder: read_record(folder / RECORD),
    LEVELS: origins,
    STATED: lambda folder: stated(Store(folder)),
    MANIFEST: read_manifest,
    "0.001.json": _rows,
    "tuning/0.001.json": lambda folder: list(_trials(folder, {})),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["deep", "deep object", "huge", "long number", "not text", "torn", "other", "types"])
def test_a_damaged_file_of_a_store_is_named(name, damage, tmp_path: Path, monkeypatch):
    contents = {
        "deep": DEEP, "deep object": '{"a":' * 100_000, "long number": "9" * 10_000,
        "torn": '{"a": ', "other": '{"a": 1}',
        "types": WRONG_TYPES,
    }  # fmt: skip
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if damage == "huge":
        monkeypatch.setattr(json_files, "LARGEST", 1000)
        path.write_text(" " * 1001)
    elif damage == "not text":
        path.write_bytes(b'"\xff\xfe"')
    else:
        path.write_text(contents[damage])
    with pytest.raises(PetlirError, match=name.replace(".", r"\.")):
        READERS[name](tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(ValueError, match="not a regular file"):
        read_json(tmp_path / "a.json")


def test_a_store_with_a_deep_record_keeps_its_other_records(tmp_path: Path):
    folder = tmp_path / "cells" / "a" / "b" / "c-00000000"
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(DEEP)
    (line,) = Index.from_store(Store(tmp_path)).problems
    assert str(folder / RECORD) in line


def test_a_trial_with_values_of_other_types_is_named(tmp_path: Path):
    (tmp_path / "0.001.json").write_text('{"rate": "x", "validation_psnr": 20.0, "curve": []}')
    with pytest.raises(PetlirError, match=r"0\.001\.json is damaged"):
        _rows(tmp_path)


def test_a_number_that_no_library_holds_is_refused(tmp_path: Path):
    plain = record()
    plain["cell"] = plain["cell"] | {"seed": 2**63}
    (tmp_path / RECORD).write_text(json.dumps(plain))
    with pytest.raises(PetlirError, match=r"record\.json is not .*cell\.seed"):
        read_record(tmp_path / RECORD)
