"""The measured training speed of a network on a device: an estimate for use before any cell has finished."""

from __future__ import annotations

import time

import torch
from torch.nn import functional

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.costs import flops_of_step
from petlir.benchmark.devices import one_thread

LONGEST_STEP = 2e11
"""The maximum FLOPs of the timed step, i.e. a few seconds on a CPU; batches of large networks are reduced
accordingly.
"""

ROUNDS = 5
"""The number of timed steps, of which the fastest counts; warm-up or other programs slow down the others."""


def training_speed(network: Backbone, head: str, batch: int, patch: int, device: str) -> float:
    """Return the FLOPs per second of full fine-tuning, measured on random images with one CPU thread.

    Args:
        network: the network, whose gradients are overwritten.
        head: the head that is trained.
        batch: crops per step.
        patch: side of a degraded training crop in pixels.
        device: the device to time, such as `cpu` or `cuda:0`.
    """
    network = network.to(device).requires_grad_(True).eval()
    side = patch * network.heads[head]

    def flops(images: int) -> int:
        degraded, clean = torch.rand(images, 3, patch, patch), torch.rand(images, 3, side, side)
        given, wanted = degraded.to(device), clean.to(device)
        return flops_of_step(lambda: functional.l1_loss(network(given, head), wanted))

    speeds = []
    with one_thread():
        images = max(1, min(batch, int(LONGEST_STEP / flops(1))))
        for _ in range(ROUNDS):
            _wait(device)
            started = time.perf_counter()
            work = flops(images)
            _wait(device)
            speeds.append(work / (time.perf_counter() - started))
    return max(speeds)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
