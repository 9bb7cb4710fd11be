"""Measure hot paths; assertions are about ratios of two measurements in the same run, never about seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.images.patches import PatchSampler
from petlir.benchmark.plugins import find
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring.evaluate import restore
from petlir.benchmark.scoring.psnr_ssim import scores
from petlir.benchmark.training.adaptation import Adapted, adapt
from petlir.benchmark.training.loop import loss_of
from tests.helpers.engine import draw
from tests.helpers.samples import finished_in
from tests.perf.conftest import Ratio

ROOT = Path(__file__).resolve().parents[2]
METHODS = find().methods
TRAINED = sorted(name for name, method in METHODS.items() if method.trains)
HEAD = "denoise_30"


def seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Return the median time of `repeats` runs after one warm-up run."""
    times = []
    for _ in range(repeats + 1):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times[1:])


def against(slow: Callable[[], object], fast: Callable[[], object], repeats: int = 9) -> float:
    """Return the processor time of `slow` over that of `fast`; they run alternately, so that load affects both."""
    times: dict[Callable[[], object], list[float]] = {slow: [], fast: []}
    for _ in range(repeats):
        for work, taken in times.items():
            start = process_time()
            work()
            taken.append(process_time() - start)
    return median(times[slow]) / median(times[fast])


def adapted(name: str) -> Adapted:
    return adapt(find().build("ipt-nano"), METHODS[name](), HEAD, 0)


def sampler() -> PatchSampler:
    pairs = [(image, image) for image in (draw([n], 256, 256) for n in range(8))]
    return PatchSampler(pairs, scale=1, patch=48, batch_size=4, perturb=GaussianNoise(30), seed=0)


def step_of(name: str) -> Callable[[], None]:
    """Return a function that runs the forward and backward pass of four windows, without the optimiser step."""
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
def test_a_training_step_against_full_fine_tuning(benchmark, tell, name):
    step = step_of(name)
    benchmark.pedantic(step, rounds=7, warmup_rounds=1)
    tell(Ratio(f"ipt-nano with {name}: training step", "full-ft", benchmark.stats["median"] / full_step()))


def test_psnr_and_ssim_against_scikit_image(benchmark, tell):
    """The pair is 1×3×512×512; scikit-image is given floats, since on 8-bit images it multiplies in 8 bits."""
    images = [draw([seed], 512, 512) for seed in (1, 2)]
    one, other = (torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in images)
    planes = [image.astype(np.float64) for image in images]
    options = {"channel_axis": 2, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

    def theirs() -> tuple[float, float]:
        found = structural_similarity(*planes, data_range=255, **options)
        return peak_signal_noise_ratio(*planes, data_range=255), float(found)

    rule = protocol("rgb")
    assert [value.item() for value in scores(one, other, rule)] == pytest.approx(theirs(), abs=1e-4)
    benchmark.pedantic(lambda: scores(one, other, rule), rounds=15, warmup_rounds=1)
    fast, exact = (
        against(theirs, partial(scores, one, other, rule, dtype)) for dtype in (torch.float32, torch.float64)
    )
    tell(Ratio("PSNR and SSIM in float32", "scikit-image", 1 / fast, 1 / 3))
    tell(Ratio("PSNR and SSIM in float64", "scikit-image", 1 / exact))


def test_tiles_cost_what_their_overlap_does(benchmark, tell):
    """At 192×192, 25 windows of 48×48 have 1.56 times as many pixels as the image."""
    network = adapted("lora").backbone.eval()
    images = torch.rand(1, 3, 192, 192)
    benchmark.pedantic(lambda: restore(network, images, head=HEAD), rounds=5, warmup_rounds=1)
    with torch.no_grad():
        windows = torch.rand(25, 3, 48, 48)
        bare = seconds(lambda: network(windows, HEAD), 5)
    tell(Ratio("ipt-nano: 192² in windows", "its windows alone", benchmark.stats["median"] / bare, 1.3, 1.0))


def test_a_grid_costs_little_beside_its_cells(benchmark, tell, lab, tmp_path):
    """The wall time is divided by the cells' own training and evaluation time; start-up and MLflow are excluded."""
    chosen = {"methods": "full-ft,lora", "tasks": "tiny", "steps": 40}
    lab.run(tmp_path / "warm", methods="lora")
    benchmark.pedantic(lambda: lab.run(tmp_path / "store", **chosen), rounds=1)
    costs = [record.costs for record in finished_in(tmp_path / "store")]
    own = sum(
        getattr(cost, f"{part}_seconds")
        for cost in costs
        for part in ("adaptation", "training", "validation", "evaluation")
    )
    tell(Ratio("a grid of small cells: wall time", "its cells' own time", benchmark.stats["median"] / own))


def test_help_starts_quickly(benchmark, tell):
    """The start-up time of the command is divided by that of Python itself."""

    def start(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    benchmark.pedantic(lambda: start("-m", "petlir", "--help"), rounds=5, warmup_rounds=1)
    ratio = benchmark.stats["median"] / seconds(lambda: start("-c", "pass"), 5)
    tell(Ratio("petlir --help", "python -c pass", ratio))
