"""Test the locked environment: versions that differ are named, and records state whether any did."""

from __future__ import annotations

import hashlib
from importlib.metadata import version

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records import lock
from petlir.benchmark.records.environment import environment
from tests.helpers.engine import PLUGIN, command

NUMPY, SCIPY = version("numpy"), version("scipy")


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """Return a function that replaces petlir's lock file by the given lines."""

    def write(*lines):
        path = tmp_path / "requirements.lock"
        path.write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(lock, "LOCK", path)
        lock.digest.cache_clear()
        return path

    yield write
    lock.digest.cache_clear()


def test_the_projects_lock_names_versions_alone():
    lines = lock.LOCK.read_text().splitlines()
    assert len(lines) > 50 and all("==" in line for line in lines)
    assert not any(mark in line for line in lines for mark in ("://", "--", " @ ", "file:"))
    assert {"torch", "numpy", "ray"} <= {line.partition("==")[0] for line in lines}


def test_an_environment_as_locked(locked):
    path = locked(f"numpy=={NUMPY}", "# a remark", "pywin32==1 ; sys_platform == 'win32'", "no-such-extra==1.0")
    assert lock.drifted(path) == []
    lock.refuse_drift()
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert environment("cpu", True, 1, "float32")["lock"] == expected


def test_what_has_drifted_is_named(locked, monkeypatch):
    path = locked("numpy==0.1", f"scipy=={SCIPY}", "torch==0.1")
    monkeypatch.setattr(lock, "_installed", {"numpy": NUMPY, "scipy": SCIPY}.get)
    assert lock.drifted(path) == [f"numpy is {NUMPY}, but 0.1 is locked", "torch is missing, but 0.1 is locked"]
    assert environment("cpu", True, 1, "float32")["lock"] is None


@pytest.mark.parametrize("line", ["numpy 1", "==", "numpy @@ 3"])
def test_a_damaged_lock_is_one_line(locked, line):
    with pytest.raises(PetlirError, match=r"^requirements.lock, line 1: .* is not of the form NAME==VERSION$"):
        lock.drifted(locked(line))


def test_a_run_that_must_be_locked_is_refused(locked, small_images, tmp_path, capsys):
    asked = ["run", "-m", "frozen", "-t", "tiny", "--data", small_images, "--plugin", PLUGIN, "--locked"]
    locked("numpy==0.1")
    code, out, err = command(capsys, *asked, "--store", tmp_path / "store")
    assert (code, out) == (2, "") and not (tmp_path / "store").exists()
    assert err == (
        f"petlir: the environment differs from the lock: numpy is {NUMPY}, but 0.1 is locked; "
        "`pip install -e . -c requirements.lock` fixes it\n"
    )
