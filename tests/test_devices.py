"""Test devices: one worker per GPU or CPU core, and an error that names a missing device."""

from __future__ import annotations

import os

import pytest
import torch

from petlir.benchmark.devices import WorkerSpec, pick, workers_on
from petlir.benchmark.errors import PetlirError


@pytest.fixture
def gpus(monkeypatch):
    def there_are(number: int) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return there_are


def test_without_a_gpu_every_core_works(gpus):
    gpus(0)
    cores = len(os.sched_getaffinity(0))
    assert workers_on("auto", None) == workers_on("cpu", None) == [WorkerSpec("cpu", 1)] * cores
    assert workers_on("cpu", 3) == [WorkerSpec("cpu", 1)] * 3
    assert pick("auto") == "cpu"


def test_every_gpu_works(gpus):
    gpus(2)
    both = [WorkerSpec("cuda:0", 1), WorkerSpec("cuda:1", 1)]
    assert workers_on("auto", None) == workers_on("cuda", None) == both
    assert workers_on("cuda:1", None) == both[1:]
    assert workers_on("cpu", 1) == [WorkerSpec("cpu", 1)]
    assert workers_on("cuda", 2) == both * 2, "workers that share a GPU"
    assert pick("auto") == "cuda:0"


@pytest.mark.parametrize(("number", "device"), [(0, "cuda"), (0, "cuda:0"), (1, "cuda:1"), (1, "tpu")])
def test_what_is_not_there_is_named(gpus, number, device):
    gpus(number)
    with pytest.raises(PetlirError, match=rf"^device '{device}' is not available; valid: auto, cpu"):
        workers_on(device, None)
