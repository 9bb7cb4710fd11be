"""Scores of a folder of restored images against clean images, for any restoration method."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TypedDict

from petlir.benchmark.degradation import Image
from petlir.benchmark.degradations.resize import enlarge
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import images_in, read_image
from petlir.benchmark.protocol import KNOWN, Protocol, check_stored, protocol
from petlir.benchmark.scoring.metrics import Registered, measured
from petlir.benchmark.scoring.psnr_ssim import psnr, recorded, ssim

PREFIXES = ("norain-", "rain-")
"""Prefixes that distinguish the names of a pair in some sets: Rain100's `rain-001`, `norain-001`."""


class Mean(TypedDict):
    """Means over a set: PSNR in dB, or `"inf"`; SSIM."""

    psnr: float | str
    ssim: float


class ImageScore(Mean):
    """The scores of an image; `name` is the clean image's, without its suffix."""

    name: str


class Scores(TypedDict):
    """The output of `petlir score --json` for a protocol.

    `identical` counts the images that are identical to their clean image. Both means exclude them, unless all are.
    """

    protocol: str
    mean: Mean
    identical: int
    images: list[ImageScore]


def all_protocols() -> list[Protocol]:
    """Return the protocols of `KNOWN` for stored images, independent of the way of restoring."""
    return [rule for rule in map(protocol, KNOWN) if rule.rounded and not rule.way]


def score_folders(restored: Path, reference: Path, rule: Protocol, *, bicubic: bool = False) -> Scores:
    """Return PSNR and SSIM of each image in `restored` against its namesake in `reference`, and their means.

    Args:
        restored: folder of 8-bit images; suffixes may differ from the reference's.
        reference: folder of the clean images.
        rule: the protocol.
        bicubic: enlarge restored images that are an integer factor smaller, like MATLAB's `imresize`: the baseline of
            super-resolution.

    Raises:
        PetlirError: a folder is missing or empty, names or sizes do not match, an image cannot be read, or the protocol
            scores unrounded images; names the first such image.
    """
    return side_by_side(restored, reference, [rule], bicubic=bicubic)[0]


def side_by_side(restored: Path, reference: Path, rules: Sequence[Protocol], *, bicubic: bool = False) -> list[Scores]:
    """Score the same images under several protocols; see `score_folders`."""
    check_stored(rules)
    rows: dict[str, list[tuple[str, float, float]]] = {rule.id: [] for rule in rules}
    for paths in paired(restored, reference):
        pair = _both(*paths, bicubic)
        for rule in rules:
            rows[rule.id].append((paths[1].stem, *_score(*pair, rule, paths[0])))
    return [_scores(name, found) for name, found in rows.items()]


def _scores(name: str, rows: Sequence[tuple[str, float, float]]) -> Scores:
    differ = [row for row in rows if isfinite(row[1])]
    _, psnrs, ssims = zip(*(differ or rows), strict=True)
    images = [ImageScore(name=image, **_row(*row)) for image, *row in rows]
    return Scores(
        protocol=name, mean=_row(fmean(psnrs), fmean(ssims)), identical=len(rows) - len(differ), images=images
    )


def measure_folders(
    restored: Path,
    reference: Path,
    names: Sequence[str],
    device: str,
    registered: Mapping[str, Registered],
    *,
    bicubic: bool = False,
) -> list[dict[str, object]]:
    """Score the images by metrics: direction, colour, means and values, or why there are none.

    Args:
        restored: as in `score_folders`.
        reference: the same.
        names: of metrics, see `petlir.benchmark.scoring.metrics.choose`.
        device: where to compute.
        registered: the metrics that are not pyiqa's.
        bicubic: as in `score_folders`.
    """
    looks = {clean.stem: partial(_both, image, clean, bicubic) for image, clean in paired(restored, reference)}
    return [
        {
            "metric": one.name, "better": one.better, "colour": one.colour, "library": one.library,
            "unavailable": one.unavailable, "mean": fmean(one.values) if one.values else None,
            "images": [{"name": name, "value": value} for name, value in zip(looks, one.values, strict=False)],
        }
        for one in measured(names, looks, device, registered)
    ]  # fmt: skip


def paired(restored: Path, reference: Path) -> Iterator[tuple[Path, Path]]:
    """Return the pairs of restored and clean images of two folders, in the order of names.

    Names match if they are equal without the suffix, or else without the prefixes in `PREFIXES` too.

    Raises:
        PetlirError: a folder is missing or empty, or an image has no partner.
    """
    images, references = images_in(restored), images_in(reference)
    if images.keys() != references.keys():
        bare = _bare(images), _bare(references)
        images, references = bare if bare[0].keys() == bare[1].keys() else (images, references)
    for folder, has, lacks in ((reference, images, references), (restored, references, images)):
        for stem in sorted(has.keys() - lacks.keys()):
            raise PetlirError(f"{has[stem]} has no partner: an image named {stem!r} is expected in {folder}")
    return ((images[stem], references[stem]) for stem in sorted(images))


def _bare(images: dict[str, Path]) -> dict[str, Path]:
    """Return the images by stem, without the prefix that distinguishes the images of a pair."""
    pattern = f"^({'|'.join(PREFIXES)})"
    return {re.sub(pattern, "", stem): path for stem, path in images.items()}


def _both(restored: Path, reference: Path, bicubic: bool) -> tuple[Image, Image]:
    """Return a restored image, enlarged to its clean image's size if necessary, and the clean image."""
    clean = read_image(reference)
    return _enlarged(read_image(restored), clean, restored, bicubic), clean


def _score(image: Image, clean: Image, rule: Protocol, path: Path) -> tuple[float, float]:
    """Return PSNR and SSIM of a pair; error messages name the file."""
    try:
        return psnr(image, clean, rule), ssim(image, clean, rule)
    except PetlirError as error:
        raise PetlirError(f"{path}: {error}") from None


def _enlarged(image: Image, clean: Image, path: Path, bicubic: bool) -> Image:
    """Return the image at the size of the clean image; raise PetlirError if the size does not match."""
    (height, width), (full_height, full_width) = image.shape[:2], clean.shape[:2]
    factor = full_height // height
    if (height, width) == (full_height, full_width):
        return image
    smaller = (height * factor, width * factor) == (full_height, full_width)
    if smaller and bicubic:
        return enlarge(image, factor)
    hint = f"; it is {factor} times smaller: --bicubic enlarges it" if smaller else ""
    sizes = f"{width}×{height}, its reference {full_width}×{full_height}"
    raise PetlirError(f"{path} is {sizes} pixels; equal sizes are expected{hint}")


def _row(psnr: float, ssim: float) -> Mean:
    return Mean(psnr=recorded(psnr), ssim=ssim)
