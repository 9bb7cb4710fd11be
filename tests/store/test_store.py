from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.files import RECORD
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json
from tests.helpers.samples import KEY, failed, folder_of, record, typed


def leave(store: Store, left: dict[str, object]) -> Path:
    work, final = store.begin(KEY), folder_of(store.root, left)
    write_json(work / RECORD, left)
    store.commit(work, final)
    return final


def test_a_cell_goes_from_work_to_its_folder_whole(tmp_path):
    store = Store(tmp_path / "store").create()
    assert store.find(KEY) is None and list(store.records()) == []
    (store.begin(KEY) / "restored").mkdir()
    final = leave(store, record())
    assert final == store.root / "cells/ipt-nano/sr_x4/lora-rank=8-s0-01234567"
    assert store.find(KEY) == final and (final / "restored").is_dir()
    assert list(store.records()) == [typed(record())]
    assert list((store.root / "work").iterdir()) == []


def test_another_key_with_the_same_start_is_not_mistaken(tmp_path):
    store = Store(tmp_path).create()
    leave(store, record())
    assert store.find(KEY[:-1] + "0") is None


def test_a_failed_record_gives_way(tmp_path):
    store = Store(tmp_path).create()
    leave(store, failed())
    leave(store, record())
    assert [one.state for one in store.records()] == ["done"]
    assert list((tmp_path / "work").iterdir()) == []


def test_work_without_a_record_is_not_committed(tmp_path):
    store = Store(tmp_path).create()
    with pytest.raises(PetlirError, match="cannot read the record"):
        store.commit(store.begin(KEY), folder_of(tmp_path, record()))
    assert store.find(KEY) is None


def test_a_torn_record_is_named_and_the_rest_read(tmp_path):
    store = Store(tmp_path).create()
    leave(store, record())
    torn = tmp_path / "cells/ipt-nano/sr_x4/torn-s0-ffffffff" / RECORD
    torn.parent.mkdir()
    torn.write_text("{")
    lines: list[str] = []
    assert len(list(store.records(lines.append))) == 1
    assert len(lines) == 1 and str(torn) in lines[0]
    with pytest.raises(PetlirError, match="torn"):
        list(store.records())


@given(label=st.text(min_size=1), backbone=st.text(min_size=1))
def test_no_name_leaves_the_store(label, backbone):
    store, left = Store(Path("store")), record()
    left["cell"] |= {"label": label, "backbone": backbone}
    parts = folder_of(store.root, left).parts
    assert len(parts) == 5 and ".." not in parts and all(part.isascii() and "/" not in part for part in parts)


def test_a_store_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PetlirError, match="is not a folder"):
        Store(tmp_path / "file")
    with pytest.raises(PetlirError, match="cannot write into the store"):
        Store(tmp_path / "file" / "inside").create()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write into")
def test_a_store_that_cannot_be_written_is_refused():
    with pytest.raises(PetlirError, match="cannot write into the store"):
        Store(Path("/proc/petlir")).create()
