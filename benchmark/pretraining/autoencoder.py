"""The first of two pre-training steps of latent diffusion: training its autoencoder on clean images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from petlir.benchmark.backbones.diffusion import LatentDiffusion
from petlir.benchmark.degradation import Image
from petlir.benchmark.pretraining.loop import Batch, Batches
from petlir.benchmark.restoration.restore import to_batch

FITTED = 64
"""The maximum number of images that the linear autoencoder is fitted to."""


def start(network: LatentDiffusion, images: list[Image]) -> None:
    """Initialise a linear autoencoder with the principal components of images; nonlinear layers initially add nothing.

    A network without a linear autoencoder is left unchanged.
    """
    if network.linear is not None:
        device = next(network.parameters()).device
        side = min(min(image.shape[:2]) for image in images[:FITTED])
        crops = [to_batch(image[:side, :side], device) for image in images[:FITTED]]
        network.start_linear(torch.cat(crops))


def clean(batches: Batches) -> Batches:
    """Return batches in which the clean images are both input and target."""

    def batch(step: int) -> Batch:
        head, _, images = batches(step)
        return head, images, images

    return batch


@contextmanager
def reconstructing(network: LatentDiffusion) -> Iterator[None]:
    """Make the network only encode and decode its input, without the U-Net, inside the `with` block."""
    config = network.config
    network.config = replace(config, output="reconstruction")
    try:
        yield
    finally:
        network.config = config
