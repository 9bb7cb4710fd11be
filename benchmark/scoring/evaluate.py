"""Restoration and scoring of test images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import PIL.Image
import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.costs import StepTimer
from petlir.benchmark.degradation import Degraded, Image, rounded
from petlir.benchmark.degradations.resize import enlarge
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.protocol import Protocol, protocol
from petlir.benchmark.restoration.restore import restore as restore
from petlir.benchmark.restoration.restore import restore_each
from petlir.benchmark.restoration.restore import restore_image as restore_image
from petlir.benchmark.restoration.restore import to_image as to_image
from petlir.benchmark.scoring.fields_of_view import tiling_of
from petlir.benchmark.scoring.registry import METRICS, Score
from petlir.benchmark.training.adaptation import folded
from petlir.benchmark.writing import write_bytes

PNG_LEVEL = 1
"""Compression level of zlib, 1 to 9; files are 10 % larger than with Pillow's default, but written in 40 % of the time.
"""


@dataclass(frozen=True)
class Evaluation:
    """The scores on the test images, and the digest of the restored images.

    Attributes:
        rows: one score for each image, protocol and metric.
        digest: SHA-256 over the restored images, in order.
    """

    rows: list[Score]
    digest: str


def evaluate(
    network: Backbone,
    heads: Sequence[str],
    pairs: Sequence[ImagePair],
    names: Sequence[str],
    folder: Path,
    shared: Path,
    first: str | None = None,
) -> Evaluation:
    """Restore every test image in each restoration mode required by the protocols, and score it.

    A mergeable method is merged into the weights during evaluation.

    Args:
        network: the adapted backbone, in evaluation mode.
        heads: the heads that an image passes through in sequence.
        pairs: the test images.
        names: protocol ids with fields of view, see `petlir.benchmark.scoring.fields_of_view`.
        folder: folder for restored images, as `restored/SET/IMAGE.png`; for further restoration modes, see `kept_in`.
        shared: folder for degraded and clean images, which all cells of the task share, as `SET/degraded/IMAGE.png` and
            `SET/clean/IMAGE.png`.
        first: the restoration mode whose images are stored in `restored`; by default the mode of the first protocol.
    """
    ways: dict[str, list[Protocol]] = {}
    for rule in map(protocol, names):
        ways.setdefault(rule.way, []).append(rule)
    first = next(iter(ways)) if first is None else first
    rows: list[Score] = []
    digest = hashlib.sha256()
    with folded(network):
        restored_in = {
            way: restored(network, [pair.degraded for pair in pairs if _asked(rules, pair)], heads, rules[0])
            for way, rules in ways.items()
        }
        for pair in pairs:
            digest.update(f"{pair.set}/{pair.name}".encode())
            for way, rules in ways.items():
                if not (asked := _asked(rules, pair)):
                    continue
                exact = next(restored_in[way])
                image = to_image(exact)
                digest.update(image.tobytes())
                write_png(folder / kept_in(way, first) / pair.set / f"{pair.name}.png", image)
                for rule in asked:
                    rows += image_scores(pair, image if rule.rounded else exact, rule)
    for pair in pairs:
        for side, shown in (("degraded", pair.degraded), ("clean", pair.clean)):
            path = shared / pair.set / side / f"{pair.name}.png"
            if not path.exists():
                write_png(path, shown)
    return Evaluation(rows, digest.hexdigest())


def _asked(rules: Sequence[Protocol], pair: ImagePair) -> list[Protocol]:
    """Return the `rules` that apply to a pair, whatever the field of view; all do if the pair names no protocols."""
    own = [protocol(name) for name in pair.protocols]
    return [rule for rule in rules if not own or replace(rule, seen="") in own]


def kept_in(way: str, first: str) -> str:
    """Return the folder of a cell's restored images: `restored` for the first mode, otherwise `restored@WAY`."""
    return "restored" if way == first else f"restored{way}"


def restored(network: Backbone, images: Iterable[Degraded], heads: Sequence[str], rule: Protocol) -> Iterator[Tensor]:
    """Yield each image, restored as the protocol requires, as a 1×3×H×W tensor that is neither clipped nor rounded."""
    tiling, tile = tiling_of(rule.seen)
    return restore_each(network, images, heads, tiling, tile, ensemble=rule.ensemble > 1)


def image_scores(pair: ImagePair, image: Image | Tensor, rule: Protocol) -> list[Score]:
    """Return a restored image's score in each metric; the image is 8-bit, or an unrounded 1×3×H×W tensor."""
    if rule.id not in pair.input_scores:
        pair.input_scores[rule.id] = _values(_input(pair), pair.clean, rule)
    given = pair.input_scores[rule.id]
    return [
        Score(pair.set, pair.domain, pair.name, pair.unit, rule.id, name, value, given[name])
        for name, value in _values(image, pair.clean, rule).items()
    ]


def _values(image: Image | Tensor, clean: Image, rule: Protocol) -> dict[str, float]:
    """Return the value of each metric for an image, by the metric's name."""
    return {name: metric.compute(image, clean, rule) for name, metric in METRICS.items()}


def _input(pair: ImagePair) -> Image:
    """Return the degraded image, enlarged bicubically if it is smaller than the clean image."""
    scale, image = pair.clean.shape[0] // pair.degraded.shape[0], rounded(pair.degraded)
    return enlarge(image, scale) if scale > 1 else image


def write_png(path: Path, image: Degraded) -> None:
    """Write an H×W×3 image atomically as PNG, clipped and rounded to 8 bits."""
    content = BytesIO()
    PIL.Image.fromarray(rounded(image)).save(content, format="PNG", compress_level=PNG_LEVEL)
    write_bytes(path, content.getvalue())


def digest_of(pairs: Sequence[ImagePair]) -> str:
    """Return the SHA-256 over names and pixels of the test images, degraded and clean."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.set}/{pair.name}".encode() + pair.degraded.tobytes() + pair.clean.tobytes())
    return digest.hexdigest()


@torch.no_grad()
def seconds_per_megapixel(network: Backbone, heads: Sequence[str], repeats: int = 2) -> float:
    """Return the seconds per megapixel of output in the fastest of `repeats` passes over four images after warm-up."""
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
