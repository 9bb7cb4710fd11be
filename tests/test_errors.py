"""Test that an error message is one line, whatever it quotes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from petlir.benchmark.errors import PetlirError, resolved
from petlir.benchmark.records.files import RECORD, read_record
from tests.helpers.samples import record


@pytest.mark.parametrize("name", ["\r", "a\nb", "\x1b[2J", "\u2028", "\u202e"])
def test_a_field_of_a_record_cannot_break_the_line_of_its_error(tmp_path, name):
    path = tmp_path / RECORD
    path.write_text(json.dumps(record() | {name: None}))
    with pytest.raises(PetlirError) as refused:
        read_record(path)
    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).isprintable()
    assert str(path) in str(refused.value)


def test_a_long_name_does_not_make_a_long_message(tmp_path):
    path = tmp_path / RECORD
    path.write_text(json.dumps(record() | {"x" * 100_000: None}))
    with pytest.raises(PetlirError, match=r"record\.json is not a .* record: .*x…$") as refused:
        read_record(path)
    assert len(str(refused.value)) < 5000


def test_paths_that_lead_nowhere_are_refused(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "~").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolved(Path("~")) == tmp_path / "~" and resolved(Path("~"), home=True) == Path.home()
    with pytest.raises(PetlirError, match="~no such user/x is not valid"):
        resolved(Path("~no such user/x"), home=True)
    try:
        assert resolved(Path("loop")) == tmp_path / "loop"  # newer versions of Python
    except PetlirError as error:
        assert "path loop is not valid: Symlink loop" in str(error)
