"""Test that `petlir clean` removes leftovers and nothing else, and that `petlir why` names what has changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from petlir.benchmark.store import CHECKPOINT, Store
from petlir.benchmark.store.cleaning import clean
from tests.helpers.engine import PLUGIN, command, draw, fill, interrupt, save


def tree(store: Path) -> set[str]:
    return {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}


def leave(store: Path, key: str, size: int) -> Path:
    path = Store(store).begin(key) / CHECKPOINT
    path.write_bytes(bytes(size))
    return path


def test_only_what_finished_cells_left_goes(lab, tmp_path, capsys):
    lab.finished(tmp_path)
    before = tree(tmp_path)
    (record,) = Store(tmp_path).records()
    left, open_ = leave(tmp_path, record.key, 2**20), leave(tmp_path, "f" * 64, 2**21)
    code, out, _ = command(capsys, "clean", "--store", tmp_path, "--dry-run")
    assert code == 0 and out.splitlines()[-1] == "1.0 MiB of 1 cell would be removed" and left.exists()
    code, out, _ = command(capsys, "clean", "--store", tmp_path)
    assert out == f"     1.0 MiB  work/{record.key[:12]}  its cell is finished\n1.0 MiB of 1 cell removed\n"
    assert not left.parent.exists() and open_.exists()
    code, out, _ = command(capsys, "clean", "--store", tmp_path, "--abandoned", "--json")
    assert json.loads(out) == [{"key": "f" * 64, "bytes": 2**21, "about": "no process works on it"}]
    assert tree(tmp_path) == before
    assert command(capsys, "clean", "--store", tmp_path)[1] == "0.0 MiB of 0 cells removed\n"


def test_what_is_worked_on_stays(tmp_path):
    store = Store(tmp_path).create()
    path = leave(tmp_path, "a" * 64, 10)
    with store.leases.hold("a" * 64, "a cell"):
        assert clean(store, abandoned=True) == []
    assert path.exists()
    assert [one.key for one in clean(store, abandoned=True)] == ["a" * 64]
    assert not path.exists() and not list(tmp_path.glob("claims/*"))


def test_an_unfinished_cell_goes_on_after_cleaning(lab, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 1)
        lab.run(tmp_path, steps=2)
    work = tree(tmp_path)
    clean(Store(tmp_path))
    assert tree(tmp_path) == work
    assert lab.run(tmp_path, steps=2).states == {"done": 1}


def test_a_required_cell_is_planned_with_the_steps_and_the_regime_of_the_cell(lab, tmp_path, capsys):
    store = lab.finished(tmp_path, methods="follower", steps=3)
    paths = Store(store).files()
    assert len(paths) == 2
    for path in paths:
        asked = ("--data", lab.data, "--plugin", PLUGIN)
        assert command(capsys, "why", path.parent, *asked)[:2] == (0, "nothing has changed\n")


def test_why_a_cell_would_be_worked_on_again(lab, tmp_path, capsys):
    plugin, data, store = tmp_path / "mine.py", fill(tmp_path / "data"), tmp_path / "store"
    shutil.copy(PLUGIN, plugin)
    asked = ["--data", data, "--plugin", plugin]
    run = ["run", "-m", "frozen", "-t", "tiny", "--store", store, "--device", "cpu", "--no-report", *asked]
    assert command(capsys, *run)[0] == 0
    (path,) = Store(store).files()
    assert command(capsys, "why", path.parent, *asked)[:2] == (0, "nothing has changed\n")
    save(data / "small-test" / "0.png", draw([9]))
    plugin.write_text(plugin.read_text() + "\nCHANGED = 1\n")
    code, out, _ = command(capsys, "why", path.parent, *asked, "--json")
    assert (code, sorted(one["ingredient"] for one in json.loads(out))) == (0, ["data", "plugin"])
    assert all(one["then"] != one["now"] for one in json.loads(out))
    code, out, _ = command(capsys, "why", path.parent, *asked)
    (line,) = (line for line in out.splitlines() if line.startswith("plugin: "))
    assert line.count("outside:") == 2 and "benchmark.backbones.ipt" not in line  # what has not changed is left out
    code, out, err = command(capsys, "why", tmp_path, *asked)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
