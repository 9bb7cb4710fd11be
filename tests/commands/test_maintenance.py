from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from petlir.benchmark.commands import doctor
from petlir.benchmark.errors import counted
from tests.helpers.engine import command

NAMES = ["images/c.bin", "weights/a.safetensors", "images/b.bin", "stores/x/cells/record.json"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    """Create a cache of three files of 100 KiB, the oldest first, and the working copy of a remote store."""
    folder = tmp_path / "cache"
    for place, name in enumerate(
        ["images/c.bin", "weights/a.safetensors", "images/b.bin", "stores/x/cells/record.json"]
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100 * 1024))
        os.utime(path, (1000 + place, 1000 + place))
    monkeypatch.setenv("PETLIR_CACHE", str(folder))
    return folder


def left(cache: Path) -> list[str]:
    return sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("size", "removed"), [("1G", 0), ("300K", 0), ("299K", 1), ("150 KiB", 2), ("0.1M", 2), ("0", 3)]
)
def test_the_least_recently_used_files_go_first(size, removed, cache: Path, capsys):
    code, out, _ = command(capsys, "clean", "--cache", size, "--dry-run")
    assert code == 0 and f"in {counted(removed, 'file')} would be removed" in out and left(cache) == sorted(NAMES)
    code, out, _ = command(capsys, "clean", "--cache", size, "--json")
    assert code == 0 and json.loads(out)["bytes"] == removed * 100 * 1024
    assert left(cache) == sorted(NAMES[removed:])


@pytest.mark.parametrize("size", ["", "much", "-1G", "1X", "nan"])
def test_what_is_not_a_size_is_refused(size, cache: Path, capsys):
    code, _, err = command(capsys, "clean", f"--cache={size}")
    assert code == 2 and "expected a size such as" in err and len(left(cache)) == 4


def test_the_doctor_finds_everything(cache: Path, capsys):
    code, out, _ = command(capsys, "doctor")
    assert code == 0 and all(line.startswith("ok") for line in out.splitlines())
    assert [line.split()[1] for line in out.splitlines()] == [
        "petlir", "torch", "device", "extras", "plugins", "data", "weights", "cache"
    ]  # fmt: skip
    assert f"{cache}: 300.0 KiB (images 200.0 KiB, weights 100.0 KiB)" in out


def test_the_doctor_names_what_is_wrong_and_goes_on(cache: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_torch", lambda: 1 / 0)
    code, out, _ = command(capsys, "doctor", "--data", tmp_path / "none", "--json")
    faults = {row["name"]: row["about"] for row in json.loads(out) if not row["ok"]}
    assert code == 1 and faults.keys() == {"torch", "data"}
    assert "ZeroDivisionError" in faults["torch"] and "is not a folder" in faults["data"]
