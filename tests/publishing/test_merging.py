"""Test merging of stores: nothing is duplicated, overwritten or lost."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from petlir.benchmark import writing
from petlir.benchmark.errors import PetlirError, Unwritable
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.publishing.levels import FILE, origins
from petlir.benchmark.publishing.merging import merge
from petlir.benchmark.store import Store
from tests.reports.stores import record, write_store


def contents(store):
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_two_halves_make_the_whole(tmp_path):
    whole = [record(method, "sr_x4", seed) for method in ("lora", "adapter") for seed in (0, 1)]
    first = write_store(tmp_path / "first", whole[::2])
    second = write_store(tmp_path / "second", whole[1::2])
    expected = contents(write_store(tmp_path / "whole", whole))
    assert merge(first, tmp_path / "merged") == len(whole[::2])
    assert merge(second, tmp_path / "merged") == len(whole[1::2])
    assert contents(tmp_path / "merged") == expected
    assert merge(second, tmp_path / "merged") == 0
    assert contents(tmp_path / "merged") == expected


def test_what_is_there_stays(tmp_path):
    mine, theirs = record("lora", "sr_x4"), record("lora", "sr_x4")
    theirs["finished"] = "2026-11-22T09:05:00Z"
    store = write_store(tmp_path / "mine", [mine])
    other = write_store(tmp_path / "theirs", [theirs, record("adapter", "sr_x4")])
    assert merge(other, store) == 1
    assert [one.finished for one in Store(store).records()] == [mine["finished"]] * 2


def test_what_was_verified_goes_along(tmp_path):
    cells = [record("lora", "sr_x4"), record("adapter", "sr_x4")]
    source = write_store(tmp_path / "source", cells)
    note = {"level": "re-scored", "by": "Ada", "tuning": "six rates", "used_test_data": False}
    (source / FILE).write_text(json.dumps({one["key"]: note for one in cells}))
    into = write_store(tmp_path / "into", cells[:1])
    merge(source, into)
    assert origins(into) == {cells[1]["key"]: note}, "what was here before was run here"


def test_a_submission_is_not_merged_as_if_it_had_been_run_here(tmp_path):
    source = write_store(tmp_path / "source", [record("lora", "sr_x4")])
    (source / MANIFEST).write_text("{}")
    with pytest.raises(PetlirError, match=r"is a submission; add it with `petlir verify"):
        merge(source, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_key_that_begins_like_another_replaces_nothing(tmp_path):
    mine, theirs = record("lora", "sr_x4"), record("lora", "sr_x4")
    theirs["key"] = mine["key"][:8] + "0" * 56
    store, other = write_store(tmp_path / "mine", [mine]), write_store(tmp_path / "theirs", [theirs])
    before = contents(store)
    with pytest.raises(PetlirError, match="holds a different cell"):
        merge(other, store)
    assert contents(store) == before


def test_a_source_without_records_is_named(tmp_path):
    with pytest.raises(PetlirError, match=r"^store .*nothing holds no records"):
        merge(tmp_path / "nothing", tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_evidence_has_no_images_and_no_adapter_of_a_reference(lab, tmp_path):
    lab.run(tmp_path / "run", methods="lora,full-ft", steps=1)
    assert merge(tmp_path / "run", tmp_path / "kept", without_images=True) == 2
    files = {path.parent.name.partition("-s0")[0]: path for path in (tmp_path / "kept").rglob("adapter.safetensors")}
    assert set(files) == {"lora"}
    assert not list((tmp_path / "kept").rglob("*.png"))
    assert len(list(Store(tmp_path / "kept").records())) == 2


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_full_disk_leaves_no_incomplete_file(tmp_path, monkeypatch, after):
    source = write_store(tmp_path / "source", [record("lora", "sr_x4")])
    left = [after]

    def full(path: Path, *arguments: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            path.write_bytes(b"incomplete")
            raise OSError(errno.ENOSPC, "No space left on device")

    def copy(path: str, target: str, **options: bool) -> str:
        full(Path(target))
        return copyfile(path, target, **options)

    def replace(path: Path, content: bytes, flush: bool) -> None:
        full(path.with_name(".petlir-"))
        real(path, content, flush)

    real, copyfile = writing._replace, shutil.copyfile
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_replace", replace)
        patch.setattr(shutil, "copyfile", copy)
        with pytest.raises(Unwritable, match="No space left on device"):
            merge(source, tmp_path / "merged")
    copied = {name: content for name, content in contents(tmp_path / "merged").items() if ".petlir-" not in name}
    assert copied.items() <= contents(source).items()
    merge(source, tmp_path / "merged")
    assert contents(source).items() <= contents(tmp_path / "merged").items()
