"""Restores images of any size, and scores what comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional

from benchmark.backbone import Backbone
from benchmark.costs import StepTimer
from benchmark.degradation import Image
from benchmark.degradations.resize import enlarge
from benchmark.errors import PetlirError, unknown
from benchmark.images.prepare import Pair
from benchmark.metrics import psnr, recorded, ssim
from benchmark.protocol import Protocol, protocol
from benchmark.records import write_bytes

OVERLAP = 12
"""Pixels that neighbouring windows share on the degraded side; a quarter of the window where that is less."""
WINDOWS_AT_ONCE = 16
"""Windows of one forward pass; memory is bounded by it."""
TILINGS = ("default", "whole")


@torch.no_grad()
def restore(network: Backbone, images: Tensor, *, head: str | None = None, tiling: str = "default") -> Tensor:
    """Restore images of any size.

    Args:
        network: the backbone, adapted or not.
        images: N×3×H×W in [0, 1].
        head: the head to use; may be left out where there is one.
        tiling: `default` (overlapping windows where the network has a fixed one, else whole) or `whole`.

    Returns:
        N×3×sH×sW, not clipped, s the scale of the head.
    """
    if tiling not in TILINGS:
        raise unknown("tiling", tiling, TILINGS)
    if network.window is None or tiling == "whole":
        restored: Tensor = network(images, head)
        return restored
    scale = list(network.heads.values())[network.head_index(head)]
    return _tiled(network, images, head, network.window, scale)


def _tiled(network: Backbone, images: Tensor, head: str | None, window: int, scale: int) -> Tensor:
    """Windows side by side, weighted towards their middle so that no seam shows."""
    height, width = images.shape[-2:]
    images = pad_to(images, window)
    corners = list(_corners(images.shape[-2], images.shape[-1], window))
    total = images.new_zeros(*images.shape[:2], images.shape[2] * scale, images.shape[3] * scale)
    weights = torch.zeros_like(total[:1, :1])
    ramp = _ramp(window * scale, _overlap(window) * scale).to(images)
    for start in range(0, len(corners), WINDOWS_AT_ONCE):
        some = corners[start : start + WINDOWS_AT_ONCE]
        stack = torch.cat([images[..., y : y + window, x : x + window] for y, x in some])
        restored = network(stack, head).reshape(len(some), -1, 3, window * scale, window * scale)
        for (y, x), tile in zip(some, restored, strict=True):
            area = (..., slice(y * scale, (y + window) * scale), slice(x * scale, (x + window) * scale))
            total[area] += tile * ramp
            weights[area] += ramp
    return (total / weights)[..., : height * scale, : width * scale]


def pad_to(images: Tensor, window: int) -> Tensor:
    """Images at least `window` wide and high, mirrored at the right and bottom as often as it takes."""
    while min(images.shape[-2:]) < window:
        height, width = images.shape[-2:]
        if min(height, width) < 2:
            raise PetlirError(f"an image of {width}×{height} is too small to restore; 2×2 at least")
        down, right = min(max(window - height, 0), height - 1), min(max(window - width, 0), width - 1)
        images = functional.pad(images, (0, right, 0, down), mode="reflect")
    return images


def _corners(height: int, width: int, window: int) -> Iterator[tuple[int, int]]:
    """The top left corners of windows that cover height×width, evenly spread, overlapping."""
    for y in _starts(height, window):
        for x in _starts(width, window):
            yield y, x


def _starts(length: int, window: int) -> list[int]:
    count = 1 + max(0, -(-(length - window) // (window - _overlap(window))))
    return [round(place) for place in np.linspace(0, length - window, count)]


def _overlap(window: int) -> int:
    return min(OVERLAP, window // 4)


def _ramp(side: int, overlap: int) -> Tensor:
    """Weights side×side in (0, 1]: 1 inside, falling towards the edges over `overlap` pixels."""
    steps = torch.arange(side)
    edge = torch.minimum(steps, steps.flip(0)) + 1
    profile = (edge / (overlap + 1)).clamp(max=1)
    return profile[:, None] * profile


def to_batch(image: Image, device: torch.device | str = "cpu") -> Tensor:
    """One 8-bit image H×W×3 as a batch 1×3×H×W in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255


def to_image(batch: Tensor) -> Image:
    """A batch 1×3×H×W as an 8-bit image, clipped and rounded."""
    rounded = (batch[0].clamp(0, 1) * 255).round().to(torch.uint8)
    image: Image = np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())
    return image


def restore_image(network: Backbone, image: Image, heads: Sequence[str]) -> Image:
    """One 8-bit image through `heads`, one after the other; between two heads it stays in float."""
    device = next(network.parameters()).device
    batch = to_batch(image, device)
    for head in heads:
        batch = restore(network, batch.clamp(0, 1), head=head)
    return to_image(batch)


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
    folder: Path,
    shared: Path,
) -> Evaluation:
    """Restore and score every test image.

    Args:
        network: the adapted backbone, in evaluation mode.
        heads: what an image goes through, one after the other.
        pairs: the test images.
        protocols: ids under which to score.
        folder: where restored images go, as `SET/IMAGE.png`.
        shared: where degraded and clean ones go, as `SET/degraded/IMAGE.png`, for all cells of the task.
    """
    rules = [protocol(name) for name in protocols]
    rows: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    for pair in pairs:
        restored = restore_image(network, pair.degraded, heads)
        digest.update(f"{pair.set}/{pair.name}".encode() + restored.tobytes())
        write_png(folder / pair.set / f"{pair.name}.png", restored)
        for side, image in (("degraded", pair.degraded), ("clean", pair.clean)):
            path = shared / pair.set / side / f"{pair.name}.png"
            if not path.exists():
                write_png(path, image)
        rows += [_row(pair, restored, rule) for rule in rules]
    return Evaluation(rows, digest.hexdigest())


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
    scale = pair.clean.shape[0] // pair.degraded.shape[0]
    image = enlarge(pair.degraded, scale) if scale > 1 else pair.degraded
    return psnr(image, pair.clean, rule), ssim(image, pair.clean, rule)


def write_png(path: Path, image: Image) -> None:
    """Write an 8-bit image H×W×3, whole or not at all."""
    content = BytesIO()
    PIL.Image.fromarray(image).save(content, format="PNG")
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
