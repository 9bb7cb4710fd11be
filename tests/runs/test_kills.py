"""Test random SIGKILLs during a grid that is restarted each time.

Every record must be complete and equal to that of an undisturbed run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from petlir.benchmark.store import Store
from petlir.benchmark.store.leases import LeaseInfo
from tests.helpers.engine import PLUGIN, ROOT, results

GRID = ["-t", "tiny", "--steps", "3", "--regime", "paper", "--device", "cpu", "--workers", "2", "--no-report"]


def petlir(store: Path, data: Path, cells: int) -> subprocess.Popen[str]:
    methods = f"lora[rank={','.join(map(str, range(1, cells + 1)))}]"
    places = ["-m", methods, "--data", data, "--plugin", PLUGIN, "--store", store]
    asked = [sys.executable, "-m", "petlir", "run", *GRID, *map(str, places)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    pipe = subprocess.PIPE
    return subprocess.Popen(asked, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def at_work(store: Path) -> list[LeaseInfo]:
    return [one for one in Store(store).leases.standing() if one.alive]


def strike(process: subprocess.Popen[str], store: Path, dice: random.Random) -> None:
    """Kill the runner and its workers, the runner alone or a worker alone, at a random time during start-up or work."""
    deadline = time.monotonic() + dice.choice([1, 5, 30])
    while process.poll() is None and time.monotonic() < deadline and not at_work(store):
        time.sleep(0.05)
    time.sleep(dice.uniform(0, 3))
    victim = dice.choice(["all", "all", "runner", "worker"])
    workers = at_work(store)
    if victim == "worker" and workers:
        os.kill(workers[0].process.pid, signal.SIGKILL)
        time.sleep(dice.uniform(0, 2))
    if victim == "runner":
        process.kill()
    elif process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    while at_work(store):  # a worker ends by itself once its runner is gone
        time.sleep(0.05)


@pytest.mark.long
@pytest.mark.parametrize(("kills", "cells"), [(4, 6), (100, 20)])
def test_random_kills_lose_nothing(small_images, tmp_path, kills, cells):
    store, dice = tmp_path / "killed", random.Random(kills)
    whole = 0
    for _ in range(kills):
        strike(petlir(store, small_images, cells), store, dice)
        now = list(Store(store).records())  # each is read against its schema: none is torn
        whole = max(whole, sum(record.state == "done" for record in now))
        assert sum(record.state == "done" for record in now) == whole, "a finished record is gone"
    with petlir(store, small_images, cells) as process:
        out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert out.startswith(f"{cells} cells: {cells} done"), out
    with petlir(tmp_path / "undisturbed", small_images, cells) as process:
        assert process.wait(timeout=900) == 0
    assert results(store) == results(tmp_path / "undisturbed")
    assert len(results(store)) == len(Store(store).files()) == cells
    assert not list(store.glob("work/*")) and not list(store.glob("claims/*"))
