"""Restores and scores test images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from benchmark.backbone import Backbone
from benchmark.costs import StepTimer
from benchmark.degradation import Degraded, Image, rounded
from benchmark.degradations.resize import enlarge
from benchmark.images.prepare import Pair
from benchmark.metrics import psnr, recorded, ssim
from benchmark.protocol import Protocol, protocol
from benchmark.records import write_bytes
from benchmark.restoration import restore as restore
from benchmark.restoration import restore_image as restore_image
from benchmark.restoration import to_image as to_image
from benchmark.views import scored_as, tile_of


@dataclass(frozen=True)
class Evaluation:
    """What restoring the test images gave.

    Attributes:
        rows: one score for each image and protocol, as a record holds them.
        digest: SHA-256 over the restored images, in order.
    """

    rows: list[dict[str, Any]]
    digest: str


def evaluate(
    network: Backbone,
    heads: Sequence[str],
    pairs: Sequence[Pair],
    protocols: Sequence[str],
    views: Sequence[str],
    folder: Path,
    shared: Path,
) -> Evaluation:
    """Restore and score every test image.

    Args:
        network: the adapted backbone, in evaluation mode.
        heads: what an image goes through, one after the other.
        pairs: the test images.
        protocols: ids under which to score.
        views: what the network sees at once, see `benchmark.views`; the images of the first are kept.
        folder: where restored images go, as `SET/IMAGE.png`.
        shared: where degraded and clean ones go, as `SET/degraded/IMAGE.png`, for all cells of the task.
    """
    rules = [[protocol(name) for name in scored_as(protocols, [view])] for view in views]
    rows: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    for pair in pairs:
        restored = [seen(network, pair.degraded, heads, view) for view in views]
        digest.update(f"{pair.set}/{pair.name}".encode() + b"".join(image.tobytes() for image in restored))
        write_png(folder / pair.set / f"{pair.name}.png", restored[0])
        for side, image in (("degraded", pair.degraded), ("clean", pair.clean)):
            path = shared / pair.set / side / f"{pair.name}.png"
            if not path.exists():
                write_png(path, image)
        rows += [_row(pair, image, rule) for image, named in zip(restored, rules, strict=True) for rule in named]
    return Evaluation(rows, digest.hexdigest())


def seen(network: Backbone, image: Degraded, heads: Sequence[str], view: str) -> Image:
    """The image restored, the network seeing as much of it at once as `view` says."""
    tile = tile_of(view)
    return restore_image(network, image, heads, "whole" if tile is None else "default", tile)


def _row(pair: Pair, restored: Image, rule: Protocol) -> dict[str, Any]:
    input_psnr, input_ssim = _input_scores(pair, rule)
    return {
        "set": pair.set,
        "domain": pair.domain,
        "image": pair.name,
        "unit": pair.unit,
        "protocol": rule.id,
        "psnr": recorded(psnr(restored, pair.clean, rule)),
        "ssim": ssim(restored, pair.clean, rule),
        "input_psnr": recorded(input_psnr),
        "input_ssim": input_ssim,
    }


def _input_scores(pair: Pair, rule: Protocol) -> tuple[float, float]:
    """PSNR and SSIM of the degraded image, enlarged bicubically where it is smaller."""
    scale, image = pair.clean.shape[0] // pair.degraded.shape[0], rounded(pair.degraded)
    image = enlarge(image, scale) if scale > 1 else image
    return psnr(image, pair.clean, rule), ssim(image, pair.clean, rule)


def write_png(path: Path, image: Degraded) -> None:
    """Write an image H×W×3, clipped and rounded to 8 bit, whole or not at all."""
    content = BytesIO()
    PIL.Image.fromarray(rounded(image)).save(content, format="PNG")
    write_bytes(path, content.getvalue())


def digest_of(pairs: Sequence[Pair]) -> str:
    """SHA-256 over names and pixels of the test images, degraded and clean."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.set}/{pair.name}".encode() + pair.degraded.tobytes() + pair.clean.tobytes())
    return digest.hexdigest()


@torch.no_grad()
def seconds_per_megapixel(network: Backbone, heads: Sequence[str], repeats: int = 2) -> float:
    """Seconds to restore a megapixel of output: the fastest of `repeats` passes over four windows, after one more."""
    side = network.window or 128
    parameter = next(network.parameters())
    images = torch.full((4, 3, side, side), 0.5, device=parameter.device, dtype=parameter.dtype)
    times = []
    for _ in range(1 + repeats):
        timer = StepTimer()
        with timer:
            batch = images
            for head in heads:
                batch = restore(network, batch, head=head)
        times += timer.seconds
    return min(times[1:]) / (batch.shape[0] * batch.shape[2] * batch.shape[3] / 1e6)
