"""Test failures during a run: one clear line, no loss of finished results, and continuation by the same command."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from petlir.benchmark.runs import runner
from petlir.benchmark.store import Store
from petlir.benchmark.tracking import mirror
from tests.helpers.engine import PLUGIN, command, results

GRID = ["-m", "frozen,lora", "-t", "tiny", "--steps", "2", "--regime", "paper", "--device", "cpu", "--no-report"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def one_line(err: str) -> str:
    """Return the only line that a failed command printed for the user."""
    (line,) = (line for line in err.splitlines() if line.startswith("petlir: "))
    assert "Traceback" not in err, err
    return line


def test_a_disk_that_is_full(lab, small_disk, tmp_path, capsys):
    store = small_disk / "store"
    asked = ["run", *GRID, "--workers", "1", "--data", lab.data, "--plugin", PLUGIN]
    assert command(capsys, *asked, "-m", "frozen", "--store", store)[0] == 0
    before = results(store)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    code, _, err = command(capsys, *asked, "--store", store)
    assert code == 2 and "No space left on device" in one_line(err), err
    assert results(store) == before and len(before) == 1
    assert not list((store / "leases").iterdir()), "else the next run waits for a holder that is none"
    assert command(capsys, "status", "--store", store)[0] == 0
    filler.unlink()
    assert command(capsys, *asked, "--store", store)[0] == 0
    assert command(capsys, *asked, "--store", tmp_path / "undisturbed")[0] == 0
    assert results(store) == results(tmp_path / "undisturbed") and len(results(store)) == 2


def test_a_data_folder_that_vanishes(lab, tmp_path, capsys, monkeypatch):
    data, store = tmp_path / "data", tmp_path / "store"
    shutil.copytree(lab.data, data)
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))
    asked = ["run", *GRID, "--workers", "1", "--data", data, "--plugin", PLUGIN, "--store", store]
    assert command(capsys, *asked, "-m", "frozen")[0] == 0
    before = results(store)
    data.rename(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "cache")
    code, _, err = command(capsys, *asked)
    assert code == 2 and str(data) in one_line(err), err
    assert results(store) == before
    (tmp_path / "elsewhere").rename(data)
    assert command(capsys, *asked)[0] == 0
    assert len(results(store)) == 2 and before.items() <= results(store).items()


def test_a_data_folder_that_vanishes_during_a_run_fails_what_needs_it(lab, tmp_path, monkeypatch):
    data, cache = tmp_path / "data", tmp_path / "cache"
    shutil.copytree(lab.data, data)
    monkeypatch.setenv("PETLIR_CACHE", str(cache))
    asked = lab.request(methods="frozen", tasks="tiny,tiny_x2")
    asked = replace(asked, context=replace(asked.context, data=str(data)))
    work = lab.executor._run

    def vanishing(job, on_event):
        if lab.executor.worked:  # the first cell is done
            shutil.rmtree(data, ignore_errors=True)
            shutil.rmtree(cache, ignore_errors=True)
        return work(job, on_event)

    with monkeypatch.context() as patch:
        patch.setattr(lab.executor, "_run", vanishing)
        outcome = runner.run(asked, tmp_path / "store", device="cpu", workers=1)
    assert outcome.states == {"done": 1, "failed": 1}
    assert "small-" in outcome.failed[0][1]
    shutil.copytree(lab.data, data)
    again = runner.run(asked, tmp_path / "store", device="cpu", workers=1)
    assert (again.states, again.worked) == ({"done": 2}, 1)


def test_a_lost_mlflow_server_loses_nothing_and_sync_mirrors_later(lab, tmp_path, capsys, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    store, later = tmp_path / "store", f"sqlite:///{tmp_path}/later.db"
    asked = ["run", *GRID, "--workers", "1", "--data", lab.data, "--plugin", PLUGIN, "--store", store]
    monkeypatch.setattr(runner, "Mirror", mirror.Mirror)
    code, _, err = command(capsys, *asked, "--mlflow-uri", "http://127.0.0.1:9")
    assert code == 0 and "http://127.0.0.1:9 cannot be written to" in one_line(err), err
    assert {record.state for record in Store(store).records()} == {"done"}
    for _ in range(2):
        code, out, _ = command(capsys, "sync", "--store", store, "--mlflow-uri", later)
        assert (code, out) == (0, f"2 records in {later}\n")
    client = mlflow.MlflowClient(tracking_uri=later)
    found = client.search_runs([client.get_experiment_by_name("petlir demo").experiment_id])
    keys = sorted(run.data.tags["petlir.key"] for run in found if "petlir.key" in run.data.tags)
    assert keys == sorted(record.key for record in Store(store).records())


def test_sync_without_a_server_or_records_is_one_line(tmp_path, capsys):
    code, out, err = command(capsys, "sync", "--store", tmp_path)
    assert (code, out) == (2, "") and "holds no records" in err
