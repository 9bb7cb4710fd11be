"""Scores of a folder of restored images against the clean ones, whoever restored them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
from petlir.benchmark.scoring.psnr_ssim import psnr, recorded, ssim
from petlir.benchmark.scoring.pyiqa_metrics import measured

PREFIXES = ("norain-", "rain-")
"""What the names of a pair begin with where a set tells them apart so: Rain100's `rain-001`, `norain-001`."""


class Mean(TypedDict):
    """Means over a set: PSNR in dB, or `"inf"`; SSIM."""

    psnr: float | str
    ssim: float


class ImageScore(Mean):
    """The scores of one image; `name` is the clean image's, without its suffix."""

    name: str


class Scores(TypedDict):
    """What `petlir score --json` prints of one protocol.

    `identical` counts the images that are identical to their clean one. Both means leave these out, unless all are.
    """

    protocol: str
    mean: Mean
    identical: int
    images: list[ImageScore]


def all_protocols() -> list[Protocol]:
    """Those of `KNOWN` that stored images can be scored under, however they were restored."""
    return [rule for rule in map(protocol, KNOWN) if rule.rounded and not rule.way]


def score_folders(restored: Path, reference: Path, rule: Protocol, *, bicubic: bool = False) -> Scores:
    """PSNR and SSIM of each image in `restored` against the one of its name in `reference`, and their means.

    Args:
        restored: folder of 8-bit images; suffixes may differ from the reference's.
        reference: folder of the clean images.
        rule: how two images are compared.
        bicubic: enlarge restored images that are an integer factor smaller, as MATLAB's `imresize` does: the
            baseline of super-resolution.

    Raises:
        PetlirError: a folder is missing or empty, names or sizes do not match, an image cannot be read, or the
            protocol scores what is not rounded; names the first offender.
    """
    return side_by_side(restored, reference, [rule], bicubic=bicubic)[0]


def side_by_side(restored: Path, reference: Path, rules: Sequence[Protocol], *, bicubic: bool = False) -> list[Scores]:
    """The same images under several protocols; as `score_folders`."""
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
    restored: Path, reference: Path, names: Sequence[str], device: str, *, bicubic: bool = False
) -> list[dict[str, object]]:
    """What metrics of pyiqa say of the images: direction, colour, means and values, or why there are none.

    Args:
        restored: as in `score_folders`.
        reference: the same.
        names: of metrics, see `petlir.benchmark.scoring.pyiqa_metrics.metrics`.
        device: where to compute.
        bicubic: as in `score_folders`.
    """
    looks = {clean.stem: partial(_both, image, clean, bicubic) for image, clean in paired(restored, reference)}
    return [
        {
            "metric": one.name, "better": one.better, "colour": one.colour, "library": one.library,
            "unavailable": one.unavailable, "mean": fmean(one.values) if one.values else None,
            "images": [{"name": name, "value": value} for name, value in zip(looks, one.values, strict=False)],
        }
        for one in measured(names, looks, device)
    ]  # fmt: skip


def paired(restored: Path, reference: Path) -> Iterator[tuple[Path, Path]]:
    """The images of two folders by name, each restored one with its clean one, in the order of names.

    Names match when they are equal but for the suffix, else but for the prefixes of `PREFIXES` too.

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
    """The images by stem without the prefix that tells the two of a pair apart."""
    pattern = f"^({'|'.join(PREFIXES)})"
    return {re.sub(pattern, "", stem): path for stem, path in images.items()}


def _both(restored: Path, reference: Path, bicubic: bool) -> tuple[Image, Image]:
    """A restored image at the size of its clean one, and that."""
    clean = read_image(reference)
    return _enlarged(read_image(restored), clean, restored, bicubic), clean


def _score(image: Image, clean: Image, rule: Protocol, path: Path) -> tuple[float, float]:
    """PSNR and SSIM of one pair; what is wrong is said of the file."""
    try:
        return psnr(image, clean, rule), ssim(image, clean, rule)
    except PetlirError as error:
        raise PetlirError(f"{path}: {error}") from None


def _enlarged(image: Image, clean: Image, path: Path, bicubic: bool) -> Image:
    """The image at the size of the clean one; what has another size is refused."""
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
