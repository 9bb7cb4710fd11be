"""Test reproducibility: identical bits on one machine, and 1e-3 dB on devices of the same type."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from petlir.benchmark.cells import train
from petlir.benchmark.cells.adapted_model import prepare
from petlir.benchmark.cells.job import Job
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.store import Store
from petlir.benchmark.training import loop
from tests.helpers.engine import PLUGIN, laboratory, restore_batches, results, spawned
from tests.helpers.samples import finished_in

GRID = ["-m", "lora", "-t", "tiny", "--steps", "4", "--regime", "paper", "--workers", "1", "--no-report"]


def run(store: Path, data: Path, *more: str, **environment: str) -> Path:
    """Run petlir in separate processes and return its store."""
    places: list[str | Path] = ["--data", data, "--plugin", PLUGIN, "--store", store]
    with spawned("run", *GRID, "--device", "cpu", *places, *more, **environment) as process:
        _, err = process.communicate()
    assert process.returncode == 0, err
    return store


def psnr(store: Path) -> dict[str, list[float]]:
    """Return the PSNR of each image, by method."""
    return {r.cell.label: [score.value for score in r.rows()] for r in finished_in(store)}


def digests(store: Path) -> dict[tuple[str, int], Any]:
    return {(r.cell.label, r.cell.seed): r.digests for r in finished_in(store)}


@pytest.fixture(scope="module")
def first(small_images, tmp_path_factory):
    """Run the grid in this process, with the default instruction set of this CPU, and return its store."""
    store = tmp_path_factory.mktemp("first") / "store"
    with laboratory(small_images) as lab, pytest.MonkeyPatch.context() as patch:
        restore_batches(patch)
        lab.run(store, steps=4)
    return store


def test_the_same_machine_gives_the_same_bits(first, small_images, tmp_path):
    again = run(tmp_path / "again", small_images, "--workers", "2", OMP_NUM_THREADS="2")  # the engine sets its own
    assert results(again) == results(first) and len(results(first)) == 1


def test_another_cpu_gives_the_same_within_a_thousandth_of_a_decibel(first, small_images, tmp_path):
    """Another instruction set stands for another CPU; its results are not identical to the bit."""
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"):
        pytest.skip("this CPU has one set of kernels")
    setting = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    other = run(tmp_path / "other", small_images, **setting)
    assert digests(other) != digests(first), "else nothing is tested"
    for method, found in psnr(other).items():
        np.testing.assert_allclose(found, psnr(first)[method], atol=1e-3, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_repeats_itself_and_lies_within_the_seeds(first, small_images, tmp_path):
    seeds = ("--seeds", "0,1,2")
    one = run(tmp_path / "one", small_images, *seeds, "--device", "cuda")
    assert digests(run(tmp_path / "two", small_images, *seeds, "--device", "cuda")) == digests(one)
    cpu = run(tmp_path / "cpu", small_images, *seeds)
    for label in psnr(first):
        by_seed = {
            place: [np.mean([s.value for s in r.rows()]) for r in finished_in(place) if r.cell.label == label]
            for place in (one, cpu)
        }
        spread = 4.303 * np.std(by_seed[cpu], ddof=1)  # t of two degrees of freedom, 95 %: one more seed lies within
        assert abs(np.mean(by_seed[one]) - np.mean(by_seed[cpu])) <= spread + 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_starts_as_a_cpu_does(lab, tmp_path, monkeypatch):
    """The key is the same, so the losses of the first ten steps must agree, dropout included."""
    losses: dict[str, list[float]] = {"cpu": [], "cuda:0": []}
    for device, found in losses.items():
        monkeypatch.setattr(loop, "loss_of", partial(noted, found))
        planner = Planner(lab.request(methods="adaptformer", steps=10))
        planned = planner.plan(planner.cells[0])
        job = Job("cell", planned.cell, lab.context(), Store(tmp_path), parts=planned.parts)
        train.fit(prepare(job, device), job.context)
    np.testing.assert_allclose(losses["cuda:0"][:10], losses["cpu"][:10], rtol=1e-4)


def noted(found: list[float], *given: Any, real: Any = loop.loss_of) -> torch.Tensor:
    loss: torch.Tensor = real(*given)
    found.append(loss.item())
    return loss
