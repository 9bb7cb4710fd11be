"""Degradation and restoration of a user's own images, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from petlir.benchmark.degradation import rounded, seed_of
from petlir.benchmark.degradations.enlarging import enlarge_in_bands
from petlir.benchmark.devices import check_memory, pick
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.hub import SCHEME, download_files
from petlir.benchmark.images.decoding import Header, Picture, Pixels
from petlir.benchmark.images.outputs import OutputFile, Warn, outputs, silent, write_each
from petlir.benchmark.images.reading import header_of, opaque
from petlir.benchmark.records.files import ADAPTER, RECORD, read_record
from petlir.benchmark.task import Task

if TYPE_CHECKING:
    from petlir.benchmark.cells.adapted_model import AdaptedModel

DECODED_BYTES = 12
"""Bytes of memory per pixel of an image that is decoded or encoded."""
DEGRADED_BYTES = 100
"""Bytes of memory per pixel of an image that is degraded in float32."""
RESTORED_BYTES = 60
"""Bytes of memory per output pixel of a network, in addition to the memory of its forward passes."""
SMALL = 2**20
"""The number of output pixels up to which forward passes need less than `MEMORY_BYTES`."""
PASSES_SHARE = 1.7
"""The ratio of the memory of forward passes to the memory of their tensors; see `restoration.restore`."""


def degrade_folder(
    task: str,
    clean: Path,
    out: Path,
    seed: int,
    plugins: Sequence[Path],
    *,
    skip_existing: bool = False,
    warn: Warn = silent,
) -> int:
    """Degrade each image in `clean` and its sub-folders into a PNG of the same name in `out`.

    Images with 16 bits per channel are rounded to 8 bits, because degradations are defined for 8 bits.

    Returns:
        The number of images written.

    Raises:
        PetlirError: nothing was written, because the task has no degradation to apply, a file is not a supported image
            or a file would be overwritten; or an image could not be decoded, and only the other images were written.
    """
    from petlir.benchmark.plugins import find

    found = find(plugins).task(task)
    if found.degradation is None:
        raise PetlirError(f"task {task!r} has no degradation to apply: its images come in pairs")
    if found.degradation.kept == "float":
        raise PetlirError(f"task {found.label!r} stores its noise as floats, which an image file cannot hold")
    if not clean.is_dir():
        raise PetlirError(f"{clean} is not a folder; expected a folder of images")
    made = outputs(clean, out, skip_existing=skip_existing)
    for file in made.files:
        head = header_of(file.source)
        if min(head.width, head.height) < found.scale:
            size, least = f"{head.width}×{head.height}", f"{found.scale}×{found.scale}"
            raise PetlirError(
                f"image {file.name!r} in {clean} is {size} pixels; task {task!r} expects at least {least}"
            )
        check_memory(str(file.source), head.width * head.height * DEGRADED_BYTES)
        if head.bits > 8:
            warn(f"{file.source} has {head.bits} bits per channel and is rounded to 8")
    return write_each(made, partial(_degraded, found, seed), "degrading", warn)


def _degraded(task: Task, seed: int, file: OutputFile, picture: Picture) -> tuple[Pixels, None]:
    assert task.degradation is not None
    image = rounded(opaque(picture, str(file.source)).on_byte_scale())
    height, width = (side // task.scale * task.scale for side in image.shape[:2])
    return rounded(task.degradation.degrade(image[:height, :width], seed_of(task.name, file.name, seed))), None


def restore_folder(
    source: Path,
    out: Path,
    adapter: Path | str | None,
    bicubic: int | None,
    device: str,
    plugins: Sequence[Path],
    weights: Sequence[str] = (),
    tiling: str = "default",
    *,
    skip_existing: bool = False,
    warn: Warn = silent,
) -> int:
    """Restore an image, or each image in a folder and its sub-folders, into a PNG of the same name in `out`.

    Each output PNG has the bit depth of its input image. An alpha channel is kept unless it is opaque everywhere; if
    the image is enlarged, its alpha channel is enlarged bicubically.

    Args:
        source: an image or a folder of images.
        out: output folder.
        adapter: the folder of a cell or of an exported adapter, a file in it, or `hub:OWNER/NAME`.
        bicubic: the factor of a bicubic enlargement without a network; None to use the network of `adapter`.
        device: the compute device.
        plugins: plugin files.
        weights: the user's own pre-trained weights, see `petlir.benchmark.weights.sources`.
        tiling: how large images are divided into tiles, see `petlir.benchmark.restoration.restore.restore`.
        skip_existing: whether to skip images whose output PNG exists already.
        warn: called with a one-line message for each file, or part of an image, that is not read.

    Returns:
        The number of images written.

    Raises:
        PetlirError: nothing was written, because `adapter` and `bicubic` are both given or both missing, a file is not
            a supported image, a file would be overwritten, or an image is too large for the tiling or the memory; or an
            image could not be decoded, and only the other images were written.
    """
    if (adapter is None) == (bicubic is None):
        raise PetlirError("restore needs exactly one of --adapter (a finished cell), --best or --bicubic FACTOR")
    if bicubic is not None and tiling != "default":
        raise PetlirError("--tiling applies to networks and cannot be combined with --bicubic")
    made = outputs(source, out, skip_existing=skip_existing)
    headers = [(str(file.source), header_of(file.source)) for file in made.files]
    if bicubic is not None:
        for name, head in headers:
            _check_memory(name, head, bicubic, DECODED_BYTES, 0)
        return write_each(made, partial(_enlarged, bicubic), "restoring", warn)
    from petlir.benchmark.restoration.restore import MEMORY_BYTES, check  # deferred: bicubic needs no torch

    assert adapter is not None
    model = restorer(adapter, device, plugins, weights)
    for name, head in headers:
        check(model.network, head.height, head.width, tiling)
        _check_memory(name, head, model.task.scale, RESTORED_BYTES, int(PASSES_SHARE * MEMORY_BYTES))
    return write_each(made, partial(_restored, model, tiling), "restoring", warn)


def _check_memory(name: str, head: Header, scale: int, output_bytes: int, others: int) -> None:
    pixels = head.width * head.height
    many = pixels * scale**2 > SMALL
    check_memory(name, pixels * (DECODED_BYTES + scale**2 * output_bytes) + (others if many else 0))


def _enlarged(scale: int, file: OutputFile, picture: Picture) -> tuple[Pixels, Pixels | None]:
    return enlarge_in_bands(picture.pixels, scale), _enlarged_alpha(picture, scale)


def _restored(model: AdaptedModel, tiling: str, file: OutputFile, picture: Picture) -> tuple[Pixels, Pixels | None]:
    import torch

    from petlir.benchmark.restoration.restore import restore_batch

    peak = picture.peak
    device = next(model.network.parameters()).device
    batch = torch.from_numpy(picture.pixels.astype(np.float32)).to(device).permute(2, 0, 1)[None] / peak
    restored = restore_batch(model.network, batch, model.heads, tiling)[0].clamp_(0, 1).mul_(peak).round_()
    pixels: Pixels = restored.permute(1, 2, 0).cpu().numpy().astype(picture.pixels.dtype)
    return pixels, _enlarged_alpha(picture, pixels.shape[0] // picture.pixels.shape[0])


def _enlarged_alpha(picture: Picture, scale: int) -> Pixels | None:
    if picture.alpha is None or scale == 1:
        return picture.alpha
    return enlarge_in_bands(picture.alpha[..., None], scale)[..., 0]


def restorer(
    adapter: Path | str, device: str, plugins: Sequence[Path] = (), weights: Sequence[str] = ()
) -> AdaptedModel:
    """Load the network of a finished cell for restoration.

    Raises:
        PetlirError: the folder has no record, the cell did not finish, or the adapter is damaged or does not fit the
            backbone.
    """
    from petlir.benchmark.cells.adapted_model import finished  # deferred: bicubic enlargement does not need it
    from petlir.benchmark.cells.context import context_of

    folder = cell_folder(adapter)
    if (digest := _recorded_digest(folder)) and (folder / ADAPTER).is_file() and _digest(folder) != digest:
        raise PetlirError(
            f"adapter {folder / ADAPTER} is missing or damaged: its SHA-256 differs from the one in its record"
        )
    return finished(folder, context_of(plugins, weights=weights), pick(device))


def cell_folder(where: Path | str) -> Path:
    """Return the folder of a cell that is given as a folder, a file in a folder, or `hub:OWNER/NAME[@REVISION]`.

    Raises:
        PetlirError: the folder does not exist or does not contain a record, or the repository is not on the Hugging
            Face hub.
    """
    if str(where).startswith(SCHEME):
        return _downloaded(str(where))
    adapter = Path(where)
    if not adapter.exists():
        raise PetlirError(f"adapter {adapter} does not exist; expected a cell's folder or a file in it")
    folder = adapter if adapter.is_dir() else adapter.parent
    if not (folder / RECORD).is_file():
        raise PetlirError(f"{folder} is not a cell's folder: it holds no {RECORD}")
    return folder


def _downloaded(source: str) -> Path:
    """Download an adapter from the hub, check its digest against its record, and return the folder."""
    folder = download_files(source, (RECORD, ADAPTER))
    if _digest(folder) != _recorded_digest(folder):
        raise PetlirError(f"{ADAPTER} of {source} is not the adapter that its record names: the SHA-256 differs")
    return folder


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / ADAPTER).read_bytes()).hexdigest()


def _recorded_digest(folder: Path) -> str | None:
    record = read_record(folder / RECORD)
    return record.digests.adapter if record.state == "done" else None
