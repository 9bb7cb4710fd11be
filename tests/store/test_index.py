"""Test that the index agrees with the records, whatever happened to the index file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from petlir.benchmark.images.cache import stored_text
from petlir.benchmark.records.files import RECORD
from petlir.benchmark.store import Store
from petlir.benchmark.store import index as indexing
from petlir.benchmark.store.index import Index, file_of
from petlir.benchmark.writing import write_json
from tests.helpers.samples import KEY, failed, folder_of, record


def leave(store: Store, key: str, left: dict[str, object]) -> Path:
    left = {**left, "key": key}
    folder = folder_of(store.root, left)
    write_json(folder / RECORD, left)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    leave(store, KEY, record())
    leave(store, "f" * 64, failed())
    return store


def told(store: Store) -> list[tuple[object, ...]]:
    return [
        (h.key, h.state, h.reason, h.cell, h.key_components, h.costs, h.finished) for h in Index.from_store(store).heads
    ]


def recorded(store: Store) -> list[tuple[object, ...]]:
    names = ("key", "state", "reason", "cell", "key_components", "costs", "finished")
    return [tuple(getattr(one, name) for name in names) for one in store.records()]


def test_it_says_what_the_records_say(store):
    assert told(store) == recorded(store) and len(told(store)) == 2
    head = Index.from_store(store).find(KEY)
    assert head is not None and head.folder == store.find(KEY) and not head.retried
    assert head.device == record()["environment"]["device"]
    assert Index.from_store(store).find(KEY[:-1] + "0") is None


def test_no_record_is_read_twice(store, monkeypatch):
    before = told(store)
    monkeypatch.setattr(indexing, "read_record", lambda path: pytest.fail(f"read {path}"))
    assert told(store) == before


def test_a_record_that_changed_is_read_again(store):
    told(store)
    leave(store, "f" * 64, record())
    assert told(store) == recorded(store)
    assert [head.state for head in Index.from_store(store).heads] == ["done", "done"]


def test_records_that_went_are_forgotten(store):
    told(store)
    folder = store.find(KEY)
    assert folder is not None
    (folder / RECORD).unlink()
    assert [head.key for head in Index.from_store(store).heads] == ["f" * 64]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"schema": "petlir-index/1", "heads": {"a": {}}}'])
def test_a_damaged_index_is_made_anew(store, content):
    told(store)
    file_of(store).write_bytes(content)
    assert told(store) == recorded(store)
    assert len(json.loads(stored_text(file_of(store)))["heads"]) == 2


def test_a_damaged_record_is_named_and_the_rest_indexed(store):
    folder = store.find(KEY)
    assert folder is not None
    (folder / RECORD).write_text("{")
    found = Index.from_store(store)
    assert [head.key for head in found.heads] == ["f" * 64]
    assert len(found.problems) == 1 and str(folder / RECORD) in found.problems[0]


def test_records_of_one_cell_are_found_by_its_place(store):
    left = record()
    old = leave(store, "a" * 64, left)
    index = Index.from_store(store)
    beside = index.beside(folder_of(store.root, {**left, "key": "b" * 64}))
    assert {head.key for head in beside} == {KEY, "a" * 64, "f" * 64}
    assert old in {head.folder for head in index.heads}
    left["cell"] = left["cell"] | {"seed": 1}
    assert list(index.beside(folder_of(store.root, left))) == []


def test_a_store_that_is_not_there_has_nothing_and_stays_away(tmp_path):
    assert Index.from_store(Store(tmp_path / "none")).heads == ()
    assert not (tmp_path / "none").exists()


def test_without_a_cache_a_store_is_indexed_all_the_same(store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "file"))
    assert told(store) == recorded(store)


def test_the_index_lies_in_the_cache_one_for_each_store(store, monkeypatch, tmp_path):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))
    before = sorted(path.name for path in store.root.iterdir())
    told(store)
    told(Store(tmp_path / "another"))
    monkeypatch.chdir(store.root)
    assert file_of(Store(Path())) == file_of(store) != file_of(Store(tmp_path / "another"))
    assert sorted({path.name for path in store.root.iterdir()} - {"cache"}) == before
