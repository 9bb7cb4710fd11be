from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
import torch

from petlir.benchmark.records.environment import environment, git_state
from petlir.benchmark.records.schema import Environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_it_is_what_a_record_holds():
    found = environment("cpu", deterministic=True, threads=2, precision="float32")
    Environment.model_validate(found, strict=True)
    assert (found["device"], found["torch"], found["python"]) == ("cpu", torch.__version__, platform.python_version())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_goes_by_its_name():
    assert environment("cuda", True, 1, "float32")["device"] == torch.cuda.get_device_properties(0).name


def test_git_state_of_a_clean_and_a_dirty_checkout(tmp_path):
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) == (None, None)
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    assert git_state(tmp_path) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path)[1] is True


def test_the_revision_of_a_repository_around_is_not_ours(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "inner").mkdir()
    assert git_state(tmp_path / "inner") == (None, None)


def test_without_git_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == (None, None)
