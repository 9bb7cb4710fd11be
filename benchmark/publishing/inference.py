"""Repeated inference with a cell's adapter, to check restored images and other values that the network determines."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark import costs
from petlir.benchmark.cells.adapted_model import AdaptedModel, finished
from petlir.benchmark.cells.context import Context
from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import FAULTS, PetlirError, told
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.protocol import Protocol, protocol
from petlir.benchmark.publishing.scores import Restore, ScoredImages, check_scores, stored
from petlir.benchmark.publishing.tampering import Tampered, check_near, check_same, check_share
from petlir.benchmark.records.schema import Done
from petlir.benchmark.restoration.restore import restore_each, to_image
from petlir.benchmark.runs.planning.sizes import counted
from petlir.benchmark.scoring.evaluate import restored
from petlir.benchmark.scoring.psnr_ssim import psnr
from petlir.benchmark.training import loop
from petlir.benchmark.training.adaptation import folded

LEVEL_TOLERANCE = 1
"""The tolerance, in grey levels, of a pixel's value when an image is restored again, possibly on another device."""
KERNELS = 0.25
"""The relative tolerance of a training step's FLOPs and bytes for cells run on a GPU, which uses other kernels."""

Exact = Callable[[ImagePair, Protocol], Tensor]
"""A function that restores a test image as a protocol requires, to a 1×3×H×W tensor, neither clipped nor rounded."""


def network_of(place: Path, context: Context, device: str) -> AdaptedModel:
    """Return the network of a finished cell with the cell's adapter inserted.

    Raises:
        Tampered: the adapter cannot be loaded into the network.
        PetlirError: the weights are missing, or differ from the weights that the record names.
    """
    try:
        return finished(place, context, device)
    except FAULTS as error:
        raise Tampered(f"the cell's adapter cannot be loaded: {told(error)}") from error


def restoring(model: AdaptedModel) -> Exact:
    """Return a function that restores a test image as a protocol requires; see `Exact`."""

    def restore(pair: ImagePair, rule: Protocol) -> Tensor:
        with folded(model.network):
            return next(restored(model.network, [pair.degraded], model.heads, rule))

    return restore


def rounding(restore: Exact) -> Restore:
    """Return a function that restores a test image to an H×W×3 uint8 array, as restored images are stored."""

    def restore_rounded(pair: ImagePair, rule: Protocol) -> Image:
        return to_image(restore(pair, rule))

    return restore_rounded


def check_restored(
    folder: Path, scores: ScoredImages, model: AdaptedModel, count: int, draw: random.Random, decibel: float
) -> None:
    """Rerun the restoration of images, and compare the results with the stored images and the scores.

    Every image is restored if a protocol scores unrounded images, which are not stored.

    Args:
        folder: the cell's folder with the stored images.
        scores: the record's scores.
        model: the network with the stored adapter.
        count: number of images to restore.
        draw: the random number generator that chooses the images.
        decibel: tolerance of PSNR in dB, from which the tolerance of SSIM is derived.

    Raises:
        Tampered: an image differs from the stored image, or a score from the record; the message names the first one.
    """
    restore, read, pairs = restoring(model), stored(folder, scores), list(scores.pairs)
    for pair in pairs if scores.exact else draw.sample(pairs, min(count, len(pairs))):
        for way, rules in scores.rules(pair).items():
            exact = restore(pair, rules[0])
            image, there = to_image(exact), read(pair, rules[0])
            off = int(np.abs(np.asarray(there).astype(int) - image.astype(int)).max())
            if off > LEVEL_TOLERANCE:
                raise Tampered(
                    f"the adapter restores {pair.set}/{pair.name} to an image that differs by up to {off} grey levels"
                )
            check_scores(scores, pair, way, image, decibel)
            check_scores(scores, pair, way, exact, decibel)


def check_exact(scores: ScoredImages, restore: Exact, decibel: float) -> None:
    """Compare the scores of all unrounded images with the record; raise Tampered if a score differs."""
    for pair in scores.pairs if scores.exact else ():
        for way, rules in scores.rules(pair).items():
            check_scores(scores, pair, way, restore(pair, rules[0]), decibel)


def check_network(record: Done, model: AdaptedModel, context: Context, decibel: float) -> None:
    """Check the recorded validation PSNR, and whether the adapter can be merged as the record states.

    Raises:
        Tampered: the PSNR differs from the record by more than `decibel`, or the record is wrong about merging.
    """
    with folded(model.network) as whole:
        check_same({"merged": record.costs.merged}, {"merged": whole}, "costs: ")
    if record.curve:
        said, derived = record.curve[-1].validation_psnr, _validation_psnr(model, context)
        check_near("validation_psnr", said, derived, decibel, "curve: ")


def check_step(record: Done, model: AdaptedModel, shape: AdaptedModel) -> None:
    """Compare the FLOPs of a training step, and the bytes saved for its backward pass, with the record.

    Args:
        record: the record.
        model: the network with the stored adapter.
        shape: the same network, whose tensors have shapes but no values.

    Raises:
        Tampered: a value differs from the record; the message names the first such value.
    """
    flops, saved = _step(record, shape, model) if shape.method.trains else (0, 0)
    alike = record.device == "cpu"  # counts on the meta device follow the kernels of a CPU
    check_share("flops_per_step", record.costs.flops_per_step, flops, 0.0 if alike else KERNELS)
    said_bytes = record.costs.saved_for_backward_bytes
    check_share("saved_for_backward_bytes", said_bytes, saved, 0.0 if alike else KERNELS)


def _validation_psnr(model: AdaptedModel, context: Context) -> float:
    shown = context.validation(model.cell.task, model.cell.track)
    rule = protocol(model.task.protocols[0])
    with folded(model.network):
        outputs = restore_each(model.network, (pair.degraded for pair in shown), model.heads)
        return fmean(psnr(to_image(output), pair.clean, rule) for output, pair in zip(outputs, shown, strict=True))


def _step(record: Done, shape: AdaptedModel, model: AdaptedModel) -> tuple[int, int]:
    """Return the FLOPs of a training step and the bytes saved for its backward pass, from shapes alone if possible."""
    cell, parts = record.cell, record.cell.accumulation.parts if record.cell.accumulation else 1
    sizes = [len(part) for part in torch.arange(cell.batch_size).chunk(parts)]
    try:
        counts = [counted(shape.adapted, size, cell.patch) for size in sizes]
    except (PetlirError, NotImplementedError, *FAULTS):
        counts = [_with_values(model, size) for size in sizes]
    return sum(flops for flops, _ in counts), max(saved for _, saved in counts)


def _with_values(model: AdaptedModel, size: int) -> tuple[int, int]:
    """Return the FLOPs of a training step on crops of a constant colour, and the bytes saved for its backward pass."""
    network, patch, flops = model.network, model.cell.patch, 0
    side = patch * network.heads[model.heads[-1]]
    crops = torch.full((size, 3, patch, patch), 0.5), torch.full((size, 3, side, side), 0.5)

    def step() -> None:
        nonlocal flops
        flops = costs.flops_of_step(lambda: loop.loss_of(model.adapted, crops))

    model.adapted.train()
    with costs.undisturbed(network):
        saved = costs.saved_for_backward_bytes(step, [*network.parameters(), *network.buffers()])
    model.adapted.eval()
    return flops, saved
