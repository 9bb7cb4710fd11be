"""Scores of a folder of restored images against the clean ones, whoever restored them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import TypedDict

from benchmark.degradation import Image
from benchmark.degradations.resize import enlarge
from benchmark.errors import PetlirError
from benchmark.images.reading import images_in, read_image
from benchmark.metrics import psnr, recorded, ssim
from benchmark.protocol import Protocol

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
    """What `petlir score --json` prints."""

    protocol: str
    mean: Mean
    images: list[ImageScore]


def score_folders(restored: Path, reference: Path, protocol: Protocol, *, bicubic: bool = False) -> Scores:
    """PSNR and SSIM of each image in `restored` against the one of its name in `reference`, and their means.

    Args:
        restored: folder of 8-bit images; suffixes may differ from the reference's.
        reference: folder of the clean images.
        protocol: how two images are compared.
        bicubic: enlarge restored images that are an integer factor smaller, as MATLAB's `imresize` does: the
            baseline of super-resolution.

    Raises:
        PetlirError: a folder is missing or empty, names or sizes do not match, or an image cannot be read;
            names the first offender.
    """
    scores = [_score(*pair, protocol, bicubic) for pair in paired(restored, reference)]
    mean = _row(fmean(psnr for _, psnr, _ in scores), fmean(ssim for _, _, ssim in scores))
    images = [ImageScore(name=name, **_row(psnr, ssim)) for name, psnr, ssim in scores]
    return Scores(protocol=protocol.id, mean=mean, images=images)


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


def _score(restored: Path, reference: Path, protocol: Protocol, bicubic: bool) -> tuple[str, float, float]:
    """Name, PSNR and SSIM of one pair."""
    clean = read_image(reference)
    image = _enlarged(read_image(restored), clean, restored, bicubic)
    try:
        return reference.stem, psnr(image, clean, protocol), ssim(image, clean, protocol)
    except PetlirError as error:
        raise PetlirError(f"{restored}: {error}") from None


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
