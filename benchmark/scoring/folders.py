"""Scores of a folder of restored images, from any method, against clean images; one pair is read at a time."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TypedDict, cast

from rich.console import Console
from rich.progress import track

from petlir.benchmark.degradation import Image
from petlir.benchmark.devices import check_memory
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.decoding import Picture, Pixels
from petlir.benchmark.images.outputs import Warn, silent
from petlir.benchmark.images.pairing import composed, joined
from petlir.benchmark.images.reading import header_of, opaque, read_picture
from petlir.benchmark.images.walking import ImageFolder, walk
from petlir.benchmark.protocol import KNOWN, Protocol, check_stored, protocol
from petlir.benchmark.scoring.alignment import Alignment, align
from petlir.benchmark.scoring.bands import check_size, score_pair
from petlir.benchmark.scoring.metrics import Registered, measured
from petlir.benchmark.scoring.psnr_ssim import recorded

PREFIXES = ("norain-", "rain-")
"""Prefixes that distinguish the two file names of a pair in some sets, e.g. Rain100's `rain-001` and `norain-001`."""
BYTES_PER_PIXEL = 30
"""The memory that scoring a pair of images in bands takes, in bytes per pixel of the clean image."""


class Mean(TypedDict):
    """Mean scores over a set: SSIM, and PSNR in dB, or `"inf"` for identical images."""

    psnr: float | str
    ssim: float


class ImageScore(Mean):
    """The scores of an image; `name` is the path of the clean image in its folder, without suffix.

    `peak` is the maximum channel value in the definition of PSNR: 255, or 65535 if either image has 16 bits.
    """

    name: str
    peak: int


class Scores(TypedDict):
    """The output of `petlir score --json` for a protocol.

    `identical` counts the images that are identical to their clean image. Both means exclude identical images, unless
    all images are identical. `cropped` counts the clean images that were cropped to a multiple of the scale.
    """

    protocol: str
    mean: Mean
    identical: int
    cropped: int
    images: list[ImageScore]


@dataclass(frozen=True)
class FolderPair:
    """A restored and a clean image file, and the operations that give them the same size."""

    name: str
    restored: Path
    clean: Path
    alignment: Alignment

    def read(self, warn: Warn = silent) -> tuple[Pixels, Pixels, int]:
        """Return both images, H×W×3 and of the same size, and the larger of their peak values.

        `warn` receives a line for each part of a file that is not read.
        """
        pictures = [_read(path, warn) for path in (self.restored, self.clean)]
        pair = self.alignment.apply(*(picture.pixels for picture in pictures))
        return *pair, max(picture.peak for picture in pictures)

    def on_byte_scale(self) -> tuple[Image, Image]:
        """Return both images on the scale 0..255; 16-bit images as float32."""
        restored, clean, _ = self.read()
        return cast("Image", Picture(restored).on_byte_scale()), cast("Image", Picture(clean).on_byte_scale())


def _read(path: Path, warn: Warn) -> Picture:
    picture = opaque(read_picture(path), str(path))
    for note in picture.notes:
        warn(f"{path}: {note}")
    return picture


def all_protocols() -> list[Protocol]:
    """Return the protocols of `KNOWN` that apply to stored images and do not require a particular restoration mode."""
    return [rule for rule in map(protocol, KNOWN) if rule.rounded and not rule.way]


def score_folders(
    restored: Path, reference: Path, rule: Protocol, *, bicubic: bool = False, warn: Warn = silent
) -> Scores:
    """Return PSNR and SSIM of each image in `restored` against its namesake in `reference`, and their means.

    Args:
        restored: folder of images with 8 or 16 bits per channel; file suffixes may differ from those in `reference`.
        reference: folder of the clean images; a clean image that is up to s - 1 pixels larger than the restored image
            is cropped to a multiple of the scale s.
        rule: the protocol.
        bicubic: whether restored images that are smaller by an integer factor are enlarged as by MATLAB's `imresize`;
            for low-resolution inputs, this gives the usual baseline of super-resolution.
        warn: receives a line for each image that is skipped, cropped or only partly read.

    Raises:
        PetlirError: a folder is missing or empty, names or sizes do not match, an image cannot be read or is too small
            or too large, or the protocol scores unrounded images; the message names the first such image.
    """
    return side_by_side(restored, reference, [rule], bicubic=bicubic, warn=warn)[0]


def side_by_side(
    restored: Path, reference: Path, rules: Sequence[Protocol], *, bicubic: bool = False, warn: Warn = silent
) -> list[Scores]:
    """Score the same images under several protocols, reading each image once; see `score_folders`."""
    check_stored(rules)
    pairs = matched(restored, reference, rules, bicubic=bicubic, warn=warn)
    rows: dict[str, list[ImageScore]] = {rule.id: [] for rule in rules}
    console = Console(stderr=True)
    for pair in track(pairs, "scoring", console=console, transient=True, disable=not console.is_terminal):
        image, clean, peak = pair.read(warn)
        for rule in rules:
            found = score_pair(image, clean, rule)
            rows[rule.id].append(ImageScore(name=pair.name, peak=peak, **_row(*found)))
    cropped = sum(pair.alignment.scale > 1 for pair in pairs)
    return [_scores(name, found, cropped) for name, found in rows.items()]


def _scores(name: str, rows: list[ImageScore], cropped: int) -> Scores:
    differ = [row for row in rows if isfinite(float(row["psnr"]))]
    kept = differ or rows
    mean = _row(*(fmean(float(row[key]) for row in kept) for key in ("psnr", "ssim")))
    return Scores(protocol=name, mean=mean, identical=len(rows) - len(differ), cropped=cropped, images=rows)


def measure_folders(
    restored: Path,
    reference: Path,
    names: Sequence[str],
    device: str,
    registered: Mapping[str, Registered],
    *,
    bicubic: bool = False,
) -> list[dict[str, object]]:
    """Return each metric's direction, colour space, mean and values on the images, or why the metric is unavailable.

    Args:
        restored: as in `score_folders`.
        reference: as in `score_folders`.
        names: names of metrics, see `petlir.benchmark.scoring.metrics.choose`.
        device: the device to compute on.
        registered: the metrics implemented in this project or in plugins, by name.
        bicubic: as in `score_folders`.
    """
    looks = {pair.name: pair.on_byte_scale for pair in matched(restored, reference, (), bicubic=bicubic)}
    return [
        {
            "metric": one.name, "better": one.better, "colour": one.colour, "library": one.library,
            "unavailable": one.unavailable, "mean": fmean(one.values) if one.values else None,
            "images": [{"name": name, "value": value} for name, value in zip(looks, one.values, strict=False)],
        }
        for one in measured(names, looks, device, registered)
    ]  # fmt: skip


def matched(
    restored: Path, reference: Path, rules: Sequence[Protocol], *, bicubic: bool, warn: Warn = silent
) -> list[FolderPair]:
    """Return the image pairs of two folders, sorted by name, after checking the image sizes in the file headers.

    Raises:
        PetlirError: as for `score_folders`.
    """
    pairs = [_aligned(*files, rules, bicubic) for files in _named(restored, reference, warn)]
    if cropped := [pair for pair in pairs if pair.alignment.scale > 1]:
        first = cropped[0]
        size, scale = "×".join(map(str, first.alignment.size)), first.alignment.scale
        shown = f"{len(cropped)}, e.g. {first.clean} to {size} (×{scale})"
        warn(f"clean images cropped to a multiple of the scale: {shown}")
    return pairs


def _aligned(name: str, image: Path, clean: Path, rules: Sequence[Protocol], bicubic: bool) -> FolderPair:
    small, large = header_of(image), header_of(clean)
    sizes = (small.width, small.height), (large.width, large.height)
    try:
        alignment = align(*sizes, bicubic=bicubic, likely=max((rule.border for rule in rules), default=0))
    except PetlirError as error:
        raise PetlirError(f"{image} {error}") from None
    try:
        for rule in rules:
            check_size(*alignment.size, rule)
    except PetlirError as error:
        raise PetlirError(f"{image}: {error}") from None
    check_memory(str(clean), large.width * large.height * BYTES_PER_PIXEL)
    return FolderPair(name, image, clean, alignment)


def paired(restored: Path, reference: Path) -> Iterator[tuple[Path, Path]]:
    """Return the pairs of restored and clean images in two folders, sorted by name; see `_named`."""
    return ((image, clean) for _, image, clean in _named(restored, reference, silent))


def _named(restored: Path, reference: Path, warn: Warn) -> list[tuple[str, Path, Path]]:
    """Return the name, the restored and the clean image file of each pair in two folders and their sub-folders.

    File names without suffix are compared first unchanged, then with accents composed, then also without the prefixes
    in `PREFIXES`.

    Raises:
        PetlirError: a folder is missing or empty, or an image has no partner.
    """
    found = walk(restored, without=reference), walk(reference, without=restored)
    for folder, holds in zip((restored, reference), found, strict=True):
        if holds.skipped:
            warn(f"{folder}: {holds.skipped_line()}")
    images, references = (holds.images for holds in found)
    partners = joined(references, images, (composed, _bare))
    _refuse_single(restored, found[1], partners.keys())
    _refuse_single(reference, found[0], set(partners.values()))
    return [(name, images[partners[name]], references[name]) for name in references]


def _refuse_single(folder: Path, others: ImageFolder, paired: Collection[str]) -> None:
    """Raise PetlirError if an image has no partner in `folder`."""
    for name, path in others.images.items():
        if name not in paired:
            raise PetlirError(f"{path} has no partner: an image named {name!r} is expected in {folder}")


def _bare(name: str) -> str:
    """Return a name without the prefix that distinguishes the images of a pair."""
    folder, slash, file = composed(name).rpartition("/")
    return folder + slash + re.sub(f"^({'|'.join(PREFIXES)})", "", file)


def _row(psnr: float, ssim: float) -> Mean:
    return Mean(psnr=recorded(psnr), ssim=ssim)
