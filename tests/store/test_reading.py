"""Test that commands that read a store leave it unchanged, and that they read stores of older versions."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

import petlir
from petlir.benchmark.records.files import RECORD
from petlir.benchmark.store import Store
from petlir.benchmark.store.blob_store import Folder
from petlir.benchmark.store.leases import LeaseInfo, Leases
from petlir.benchmark.store.process import Process
from petlir.benchmark.writing import write_json
from tests.helpers.engine import PLUGIN, command
from tests.helpers.samples import failed, folder_of, record

Listing = dict[str, tuple[int, str]]


def listing(root: Path) -> Listing:
    """Return the time of the last change and the contents of every folder and file below `root`."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [root, *root.rglob("*")]
    }


def test_reading_writes_nothing(lab, tmp_path, monkeypatch, capsys):
    """The cache is new, another machine holds a cell, and one file is not a valid record."""
    store = lab.finished(tmp_path / "store", methods="frozen,lora")
    write_json(store / "cells" / "ipt-nano" / "tiny" / "torn-s0-00000000" / RECORD, {})
    held = LeaseInfo("f" * 64, "a cell", Process("elsewhere", "another machine", 1, "1"), "2026-11-21T09:00:00+00:00")
    Folder(store / "leases").write(f"{held.key}.1", held.content)
    cell = next(path.parent for path in Store(store).files() if "lora" in path.parent.name)
    chosen = ["-t", "tiny", "--steps", "2", "--regime", "paper", "--plugin", PLUGIN, "--data", lab.data]
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))
    before = listing(store)
    for line in (
        ("plan", *chosen, "-m", "frozen,lora,adapter", "--store", store, "--device", "cpu"),
        ("status", "--store", store),
        ("export", "--store", store),
        ("report", "--store", store, "--out", tmp_path / "report"),
        ("list", "methods", "--plugin", PLUGIN),
        ("cite", "--store", store, "--plugin", PLUGIN),
        ("claims", "--store", store),
        ("why", cell, "--plugin", PLUGIN, "--data", lab.data),
    ):
        code, _, err = command(capsys, *line)
        assert code == 0 and "Traceback" not in err, (line[0], err)
        assert listing(store) == before, line[0]
    assert list((tmp_path / "cache" / "indexes").iterdir())


def test_verifying_a_whole_store_writes_nothing(lab, tmp_path, capsys):
    store = tmp_path / "store"
    lab.run(store, methods="frozen")
    before = listing(store)
    asked = ["verify", store, "--plugin", PLUGIN, "--data", lab.data, "--device", "cpu"]
    code, out, _ = command(capsys, *asked)
    assert (code, out.split()[0]) == (0, "re-inferred")
    assert listing(store) == before


def test_who_works_elsewhere_is_told_by_the_age_of_the_last_sign(tmp_path):
    """The clock of the store is not read, since reading it requires a write."""
    blobs = Folder(tmp_path)
    held = LeaseInfo("a" * 64, "a cell", Process("elsewhere", "another machine", 1, "1"), "2026-11-21T09:00:00+00:00")
    blobs.write(f"{held.key}.1", held.content)
    assert [one.alive for one in Leases(blobs).standing()] == [True]
    os.utime(tmp_path / f"{held.key}.1", (time.time() - 3600,) * 2)
    stamp = tmp_path.stat().st_mtime_ns
    assert [one.alive for one in Leases(blobs).standing()] == [False]
    assert tmp_path.stat().st_mtime_ns == stamp


def test_records_of_an_older_version_stay_readable(tmp_path, capsys):
    """Their keys have components unknown to this version; they are still counted, exported and reported."""
    for left in (record(), failed() | {"key": "f" * 64, "cell": record()["cell"] | {"seed": 1}}):
        write_json(folder_of(tmp_path, left) / RECORD, left)
    before = listing(tmp_path)
    assert json.loads(command(capsys, "status", "--store", tmp_path, "--json")[1])["counts"] == {"done": 1, "failed": 1}
    assert "lora[rank=8],petl,done" in command(capsys, "export", "--store", tmp_path)[1]
    chosen = ["-m", "lora[rank=8]", "-t", "sr_x4", "--steps", "40", "--regime", "tuned", "--device", "cpu"]
    code, out, _ = command(capsys, "plan", *chosen, "--store", tmp_path, "--json")
    (row,) = json.loads(out)
    assert code == 0 and row["state"] in ("stale", "to be tuned")
    assert listing(tmp_path) == before


def test_an_adapter_without_its_plugin_says_which_method_is_missing(lab, tmp_path):
    lab.finished(tmp_path, methods="follower")
    cell = next(path.parent for path in Store(tmp_path).files() if "follower" in path.parent.name)
    with pytest.raises(petlir.PetlirError, match=r"^unknown method 'follower'; "):
        petlir.load(cell, device="cpu")
