"""Hot paths, measured; what is asserted is a ratio of two measurements of one run, never a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest
import torch

from benchmark.adaptation import Adapted, adapt
from benchmark.degradations.noise import GaussianNoise
from benchmark.evaluation import restore
from benchmark.images.patches import PatchSampler
from benchmark.metrics import ssim
from benchmark.plugins import find
from benchmark.protocol import protocol
from benchmark.store import Store
from benchmark.training import loss_of
from tests.engine import draw

ROOT = Path(__file__).resolve().parents[2]
METHODS = find().methods
TRAINED = sorted(name for name, method in METHODS.items() if method.trains)
HEAD = "denoise_30"


def seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """The median of `repeats` runs, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times[1:])


def adapted(name: str) -> Adapted:
    return adapt(find().build("ipt-nano"), METHODS[name](), HEAD, 0)


def sampler() -> PatchSampler:
    pairs = [(image, image) for image in (draw([n], 256, 256) for n in range(8))]
    return PatchSampler(pairs, scale=1, patch=48, batch_size=4, perturb=GaussianNoise(30), seed=0)


def step_of(name: str) -> Callable[[], None]:
    """Forward and backward of a batch of four windows; the optimiser's step is left out."""
    network, batch = adapted(name), sampler().batch(0)
    network.train()

    def step() -> None:
        network.backbone.zero_grad()
        torch.autograd.backward(loss_of(network, batch))

    return step


@lru_cache(maxsize=1)
def full_step() -> float:
    return seconds(step_of("full-ft"))


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_step_against_full_fine_tuning(benchmark, name):
    step = step_of(name)
    benchmark.pedantic(step, rounds=7, warmup_rounds=1)
    benchmark.extra_info["against full-ft"] = round(benchmark.stats["median"] / full_step(), 3)


def test_float32_makes_ssim_faster(benchmark):
    restored, clean, rule = draw([1], 480, 320), draw([2], 480, 320), protocol("rgb")
    benchmark.pedantic(lambda: ssim(restored, clean, rule, torch.float32), rounds=9, warmup_rounds=1)
    exact = seconds(lambda: ssim(restored, clean, rule), 9)
    benchmark.extra_info["float64 against it"] = round(exact / benchmark.stats["median"], 2)
    assert exact > benchmark.stats["median"]


def test_tiles_cost_what_their_overlap_does(benchmark):
    """At 192×192, 25 windows of 48×48 hold 1.56 times the pixels."""
    network = adapted("lora").backbone.eval()
    images = torch.rand(1, 3, 192, 192)
    benchmark.pedantic(lambda: restore(network, images, head=HEAD), rounds=5, warmup_rounds=1)
    with torch.no_grad():
        windows = torch.rand(25, 3, 48, 48)
        bare = seconds(lambda: network(windows, HEAD), 5)
    ratio = benchmark.stats["median"] / bare
    benchmark.extra_info["against its windows alone"] = round(ratio, 3)
    assert ratio < 1.3


def test_a_grid_costs_little_beside_its_cells(benchmark, lab, tmp_path):
    """Wall time over the cells' own training and evaluation; start-up and MLflow are left out."""
    chosen = {"methods": "full-ft,lora", "tasks": "tiny", "steps": 40}
    lab.run(tmp_path / "warm", methods="lora")
    benchmark.pedantic(lambda: lab.run(tmp_path / "store", **chosen), rounds=1)
    costs = [record["costs"] for record in Store(tmp_path / "store").records()]
    own = sum(cost["training_seconds"] + cost["validation_seconds"] + cost["evaluation_seconds"] for cost in costs)
    benchmark.extra_info["wall against cells"] = round(benchmark.stats["median"] / own, 3)


def test_help_starts_quickly(benchmark):
    """The command's start over that of Python itself."""

    def start(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    benchmark.pedantic(lambda: start("-m", "benchmark", "--help"), rounds=5, warmup_rounds=1)
    benchmark.extra_info["against python -c pass"] = round(
        benchmark.stats["median"] / seconds(lambda: start("-c", "pass"), 5), 1
    )
