"""Test running cells as tasks of a real Ray cluster of two nodes on this machine; one node is killed halfway."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.executors import Event, QueuedJob
from petlir.benchmark.executors import ray as cluster
from petlir.benchmark.store import Store
from tests.helpers.engine import PLUGIN, ROOT, command, results

SLOW = Path(__file__).parents[1] / "helpers" / "plugins" / "slow.py"
RANKS = range(1, 13)
STEPS = 6
ASKED = ["-m", f"slow[rank={','.join(map(str, RANKS))}]", "-t", "tiny", "--steps", STEPS, "--regime", "paper"]


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a cluster of two nodes with one CPU each; the test may kill the second node."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    log = tmp_path_factory.mktemp("ray") / "steps"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("PETLIR_SLOW", ",".join(f"{rank}:0.2" for rank in RANKS))
        patch.setenv("PETLIR_SLOW_LOG", str(log))
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            nodes.add_node(num_cpus=1)
            nodes.wait_for_nodes()
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()


def petlir(store: Path, data: Path, *more: str) -> subprocess.Popen[str]:
    places = ["--store", store, "--data", data, "--plugin", PLUGIN, "--plugin", SLOW, "--device", "cpu", "--no-report"]
    asked = [sys.executable, "-m", "petlir", "run", *map(str, [*ASKED, *places, *more])]
    pipe = subprocess.PIPE
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PETLIR_SLOW")}
    setting = {**environment, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(asked, env=setting, stdout=pipe, stderr=pipe, text=True)


def until(condition: Callable[[], bool], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def steps() -> Counter[str]:
    """Return the number of batches that each rank has seen."""
    return Counter(Path(os.environ["PETLIR_SLOW_LOG"]).read_text().split())


def both_train(store: Path) -> bool:
    """Return whether both nodes are in the middle of training a cell."""
    working = [one.title.partition("rank=")[2].partition("]")[0] for one in Store(store).leases.standing() if one.alive]
    return len(working) == 2 and all(2 < steps()[rank] < STEPS for rank in working)


@pytest.mark.long
def test_a_node_is_killed_half_way_and_all_is_as_on_one_machine(two_nodes, small_images, tmp_path):
    store = tmp_path / "ray"
    doomed = two_nodes.list_all_nodes()[-1]
    with petlir(store, small_images, "--executor", "ray", "--ray-address", two_nodes.address) as process:
        try:
            until(lambda: len(Store(store).files()) >= 4)
            until(lambda: both_train(store))
            two_nodes.remove_node(doomed, allow_graceful=False)
            out, err = process.communicate(timeout=900)
        finally:
            process.kill()
    assert process.returncode == 0, (out, err)
    assert out.startswith("12 cells: 12 done; processed 12"), (out, err)
    with petlir(tmp_path / "local", small_images, "--workers", "2") as process:
        assert process.wait(timeout=900) == 0
    assert results(store) == results(tmp_path / "local") and len(Store(store).files()) == 12
    assert not list(store.glob("work/*")) and not list(store.glob("claims/*"))
    again = [rank for rank, count in steps().items() if count > STEPS + 1]
    assert len(again) == 1, f"the steps, and one to count costs with, but for the cell of the lost node: {steps()}"


def told(jobs: list[QueuedJob], work: str, address: str, store: Path | None = None) -> list[Event]:
    events: list[Event] = []
    cluster.executor(f"tests.executors.jobs:{work}", store, address, "cpu").run(jobs, events.append)
    return events


def test_how_jobs_end(two_nodes):
    kinds = ("done", "fail", "refuse", "raise", "kill", "half")
    jobs = [QueuedJob(do, {"do": do}) for do in kinds] + [
        QueuedJob("after", {}, needs=("fail",)),
        QueuedJob("last", {}, needs=("half",)),
    ]
    events = told(jobs, "work", two_nodes.address)
    ends = {event.key: event for event in events if event.kind in ("finished", "died", "skipped")}
    assert {key: (end.kind, end.result.get("state")) for key, end in ends.items()} == {
        "done": ("finished", "done"), "fail": ("finished", "failed"), "refuse": ("finished", "failed"),
        "raise": ("died", None), "kill": ("died", None), "half": ("finished", "done"),
        "after": ("skipped", None), "last": ("finished", "done"),
    }  # fmt: skip
    assert ends["raise"].text == "ValueError: a bug in two lines"
    assert ends["refuse"].result["reason"] == "no such image"
    assert ends["kill"].text == "The worker died unexpectedly while executing this task"
    assert ends["done"].result["threads"] == "1"
    assert len(ends) == len([event for event in events if event.kind in ("finished", "died", "skipped")])


def test_a_node_that_does_not_reach_the_store_is_named(two_nodes, tmp_path):
    line = f"^node {socket.gethostname()} cannot access the store {tmp_path / 'elsewhere'}; expected a folder that "
    with pytest.raises(PetlirError, match=line):
        told([QueuedJob("a", {})], "work", two_nodes.address, tmp_path / "elsewhere")


def test_a_cluster_without_a_gpu_is_named(two_nodes):
    with pytest.raises(PetlirError) as caught:
        cluster.executor("tests.executors.jobs:work", None, two_nodes.address, "cuda")
    assert str(caught.value) == f"the Ray cluster {two_nodes.address} has no GPU; expected a GPU, or --device cpu"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--ray-address", "h:1"], "petlir: --ray-address h:1 needs --executor ray"),
        (
            ["--executor", "ray", "--ray-address", "127.0.0.1:9"],
            "petlir: the Ray cluster 127.0.0.1:9 does not answer ([Errno 111] Connection refused); "
            "start one with `ray start --head`, or name one with --ray-address HOST:PORT",
        ),
        (
            ["--executor", "ray", "--device", "cuda:1"],
            "petlir: --device cuda:1: expected auto, cpu or cuda with --executor ray",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(small_images, tmp_path, capsys, flags, line):
    pytest.importorskip("ray")
    asked = ["-m", "frozen", "-t", "tiny", "--data", small_images, "--plugin", PLUGIN, "--store", tmp_path / "store"]
    code, _, err = command(capsys, "run", *asked, *flags)
    assert (code, err.strip()) == (2, line)
    assert not (tmp_path / "store").exists()


def test_without_ray_it_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PetlirError, match=r"^--executor ray needs ray: pip install 'petlir\[ray\]'$"):
        cluster.executor("petlir.benchmark.cells.worker:work", None, "", "auto")


def test_the_share_of_a_gpu():
    total = 80 * 2**30
    needed = [0, 1, 10 * 2**30, 10 * 2**30 + 1, 39 * 2**30, 41 * 2**30, 100 * 2**30]
    assert [cluster.share_of(one, total) for one in needed] == [1.0, 0.125, 0.125, 0.25, 0.5, 1.0, 1.0]
