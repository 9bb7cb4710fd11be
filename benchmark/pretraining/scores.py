"""Scores on the card of pre-trained weights: the PSNR of restored images and, for comparison, of the input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.diffusion import LatentDiffusion
from petlir.benchmark.degradation import rounded
from petlir.benchmark.degradations.resize import enlarge
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.prepare import ImagePair, test_pairs
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.pretraining.autoencoder import reconstructing
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring.evaluate import restore_image
from petlir.benchmark.scoring.psnr_ssim import psnr
from petlir.benchmark.task import Task

BUNDLED = "photographs"
ON_DATA = (("Set5", "sr_x4"), ("BSD100", "denoise_30"))
"""The image sets of the data folder on which weights are scored, each with its task."""
RECONSTRUCTION = f"{BUNDLED} reconstruction"
"""The name of the score of an autoencoder."""


def card_scores(network: Backbone, plugins: Plugins, root: Path | None) -> dict[str, dict[str, float]]:
    """Return set and task → mean PSNR in dB of the restored images (`psnr`) and of the degraded images (`input`).

    For latent diffusion, the entry `RECONSTRUCTION` is the mean PSNR of clean photographs x after encoding and
    decoding, D(E(x)).

    Args:
        network: the pre-trained network; it is set to evaluation mode.
        plugins: the tasks, of which those in the demo track are scored on the bundled photographs.
        root: the data folder with Set5 (scored at ×4) and BSD100 (scored at σ 30), or None to skip these sets.

    Raises:
        PetlirError: an image set is missing from the data folder.
    """
    network.eval()
    found = {
        f"{name} {task.name}": _scores(network, task, pairs) for name, task, pairs in _trials(network, plugins, root)
    }
    if isinstance(network, LatentDiffusion):
        found[RECONSTRUCTION] = _reconstruction(network)
    return found


def _trials(network: Backbone, plugins: Plugins, root: Path | None) -> Iterator[tuple[str, Task, list[ImagePair]]]:
    scales = set(network.heads.values())
    for task in plugins.tasks.values():
        if not task.parts and "demo" in task.data and BUNDLED in task.on("demo").tests and task.scale in scales:
            yield BUNDLED, task, _pairs(task, "demo", BUNDLED, None)
    for name, task in ((name, plugins.task(task)) for name, task in ON_DATA if root):
        if task.scale in scales:
            yield name, task, _pairs(task, "open", name, root)


def _pairs(task: Task, track: str, name: str, root: Path | None) -> list[ImagePair]:
    return [pair for pair in test_pairs(task, track, root) if pair.set == name]


def _scores(network: Backbone, task: Task, pairs: list[ImagePair]) -> dict[str, float]:
    """Return the mean PSNR of restored and of degraded images (upscaled bicubically) under the headline protocol."""
    rule, head = protocol(task.protocols[0]), network.head_for(task)
    restored = [psnr(restore_image(network, pair.degraded, (head,)), pair.clean, rule) for pair in pairs]
    untouched = [psnr(enlarge(rounded(pair.degraded), task.scale), pair.clean, rule) for pair in pairs]
    return {"psnr": round(fmean(restored), 3), "input": round(fmean(untouched), 3)}


def _reconstruction(network: LatentDiffusion) -> dict[str, float]:
    rule = protocol("rgb")
    clean = [entry.clean() for entry in image_set(BUNDLED).index(None, 1)]
    with reconstructing(network):
        values = [psnr(restore_image(network, image, tuple(network.heads)), image, rule) for image in clean]
    return {"psnr": round(fmean(values), 3)}
