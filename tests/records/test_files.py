from __future__ import annotations

import errno
import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.records.schema import SCHEMA_FILE, schema
from petlir.benchmark.scoring.registry import Score
from petlir.benchmark.writing import write_json
from tests.helpers.samples import failed, record, score, typed
from tests.helpers.version_1 import version_1, version_2

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_schema_is_the_models():
    assert json.loads(SCHEMA_FILE.read_text()) == schema(), "run `python -m petlir.benchmark.records.schema`"


def test_writing_needs_only_the_standard_library(tmp_path):
    code = (
        "import sys; from pathlib import Path; from petlir.benchmark.writing import write_json;"
        "write_json(Path(sys.argv[1]), {}); outside = {name.partition('.')[0] for name in sys.modules};"
        "assert outside - {'__main__'} <= {*sys.stdlib_module_names, 'petlir'}, outside"
    )
    command = [sys.executable, "-S", "-c", code, str(tmp_path / "a.json")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(data=JSON)
def test_what_is_written_is_read(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "data.json"
    write_json(path, data)
    assert json.loads(path.read_text(encoding="utf-8")) == data


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_and_the_old_file_kept(tmp_path, number):
    path = tmp_path / "a.json"
    write_json(path, {"psnr": 1})
    with pytest.raises(PetlirError, match="not finite"):
        write_json(path, {"psnr": number})
    assert json.loads(path.read_text()) == {"psnr": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_one_line(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.json"
    write_json(path, 1)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PetlirError, match=r"a\.json: No space left on device") as raised:
        write_json(path, 2)
    assert "\n" not in str(raised.value)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("1\n", [path])


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(PetlirError, match=r"cannot write .*a\.json"):
            write_json(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("1\n", [path])


@pytest.mark.parametrize(
    "good",
    [
        record(),
        record(scores=[score("same", "inf", 1.0)]),
        record(convergence=None, curve=[], digests=record()["digests"] | {"adapter": None}),
        failed(),
        failed(state="out-of-memory"),
        failed(state="not-applicable"),
    ],
)
def test_a_record_is_read_as_it_was_written(tmp_path, good):
    write_json(tmp_path / RECORD, good)
    read = read_record(tmp_path / RECORD)
    assert version_1(json.loads(read.model_dump_json(by_alias=True, exclude_unset=True))) == good


@pytest.mark.parametrize("first", [record(), record(scores=[score("same", "inf", 1.0)]), failed()])
def test_both_versions_are_the_same_record(first):
    second = version_2(first)
    assert typed(first) == typed(second)
    assert json.loads(typed(second).model_dump_json(by_alias=True, exclude_unset=True)) == second


def test_further_metrics_of_the_first_version_become_scores_without_a_protocol():
    metric = {"metric": "gmsd", "better": "lower", "colour": "luma", "library": "pyiqa 0.1.14", "unavailable": None}
    value = {"set": "photographs", "image": "coffee", "value": 0.25}
    missing = metric | {"metric": "ms_ssim", "unavailable": "too small", "values": []}
    read = typed(record(metrics=[metric | {"values": [value]}, missing]))
    assert list(read.measured("gmsd")) == [
        Score("photographs", "photographs", "coffee", "coffee", None, "gmsd", 0.25, None)
    ]
    assert [one.metric for one in read.metrics] == ["gmsd", "ms_ssim"] and list(read.measured("ms_ssim")) == []
    assert list(read.rows("gmsd")) == [] and [row.value for row in read.rows()] == [27.0, 29.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": ["one"]}, "units has length 1; expected 2, the number of images"),
        ({"values": {"psnr": [27.0], "ssim": [0.8, 0.9]}}, "values.psnr has length 1"),
        ({"values": {"psnr": [27.0, "nan"]}}, "psnr"),
        ({"images": ["../x", "coffee"]}, "images"),
        ({"protocol": None}, "needs at least one score under a protocol"),
        ({"colour": "y"}, "colour"),
    ],
)
def test_a_table_of_scores_is_checked(change, said):
    plain = version_2(record())
    with pytest.raises(PetlirError, match=said):
        typed({**plain, "scores": [plain["scores"][0] | change]})


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (record(surprise=1), "surprise"),
        (record(schema="petlir-record/0"), "schema"),
        (record(key="abc"), "key"),
        (record(state="finished"), "state"),
        (record(reason="but why"), "reason"),
        (record(scores=[]), "scores"),
        (record(scores=[score("a", "NaN", 1.0)]), "psnr"),
        (record(scores=[score("a", "27.1", 1.0)]), "psnr"),
        (record(costs={}), "costs"),
        (record(started="yesterday"), "started"),
        (failed(reason=""), "reason"),
        ({}, "state"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line_that_names_file_and_place(tmp_path, bad, said):
    path = tmp_path / RECORD
    write_json(path, bad)
    with pytest.raises(PetlirError) as raised:
        read_record(path)
    line = str(raised.value)
    assert str(path) in line and said in line and "\n" not in line


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", json.dumps(record())[:200].encode()])
def test_a_torn_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / RECORD
    path.write_bytes(content)
    with pytest.raises(PetlirError) as raised:
        read_record(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(PetlirError, match=r"record\.json: No such file"):
        read_record(tmp_path / RECORD)
