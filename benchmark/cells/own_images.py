"""Degradation and restoration of a user's own images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from petlir.benchmark.cells.adapted_model import AdaptedModel, finished
from petlir.benchmark.cells.context import context_of
from petlir.benchmark.degradation import Image, seed_of
from petlir.benchmark.degradations.resize import enlarge
from petlir.benchmark.devices import pick
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.hub import SCHEME, download_files
from petlir.benchmark.images.reading import images_in, read_image
from petlir.benchmark.plugins import find
from petlir.benchmark.records.files import ADAPTER, RECORD, read_record
from petlir.benchmark.records.schema import Done
from petlir.benchmark.restoration.restore import check, restore_image
from petlir.benchmark.scoring.evaluate import write_png


def degrade_folder(task: str, clean: Path, out: Path, seed: int, plugins: Sequence[Path]) -> int:
    """Degrade every image of `clean` into a PNG of the same name in `out`, and return their number.

    Raises:
        PetlirError: the task has no degradation to apply, or an image cannot be read; nothing was written.
    """
    found = find(plugins).task(task)
    if found.degradation is None:
        raise PetlirError(f"task {task!r} has no degradation of its own: its images are pairs")
    degradation = found.degradation
    if degradation.kept == "float":
        raise PetlirError(f"task {found.label!r} keeps its noise as floats, which an image file cannot hold")
    images = {name: read_image(path) for name, path in images_in(clean).items()}
    for name, image in images.items():
        if min(image.shape[:2]) < found.scale:
            size, least = f"{image.shape[1]}×{image.shape[0]}", f"{found.scale}×{found.scale}"
            raise PetlirError(f"image {name!r} in {clean} is {size} pixels; task {task!r} expects at least {least}")
    for name, image in images.items():
        height, width = (side // found.scale * found.scale for side in image.shape[:2])
        write_png(out / f"{name}.png", degradation.degrade(image[:height, :width], seed_of(found.name, name, seed)))
    return len(images)


def restore_folder(
    source: Path,
    out: Path,
    adapter: Path | str | None,
    bicubic: int | None,
    device: str,
    plugins: Sequence[Path],
    weights: Sequence[str] = (),
    tiling: str = "default",
) -> int:
    """Restore an image, or every image of a folder, into PNGs of the same names in `out`, and return their number.

    Args:
        source: an image or a folder of images.
        out: output folder.
        adapter: a cell's or an exported folder, a file in it, or `hub:OWNER/NAME`.
        bicubic: enlarge by this factor instead of using a network.
        device: the compute device.
        plugins: plugin files.
        weights: the user's own pre-trained weights, see `petlir.benchmark.weights.sources`.
        tiling: tiling of large images, see `petlir.benchmark.restoration.restore.restore`.

    Raises:
        PetlirError: not exactly one of `adapter` and `bicubic` is given, a file is invalid, or the tiling does not
            support an image; nothing was written.
    """
    if (adapter is None) == (bicubic is None):
        raise PetlirError("restore needs one of --adapter (a finished cell), --best and --bicubic FACTOR")
    if bicubic is not None and tiling != "default":
        raise PetlirError("--tiling says how a network restores; it does not go with --bicubic")
    paths = images_in(source) if source.is_dir() else {source.stem: source}
    images = {name: read_image(path) for name, path in paths.items()}
    work: Callable[[Image], Image]
    if adapter is None:
        assert bicubic is not None
        work = partial(enlarge, scale=bicubic)
    else:
        model = restorer(adapter, device, plugins, weights)
        for height, width, _ in (image.shape for image in images.values()):
            check(model.network, height, width, tiling)
        work = partial(restore_image, model.network, heads=model.heads, tiling=tiling)
    for name, image in images.items():
        write_png(out / f"{name}.png", work(image))
    return len(images)


def restorer(
    adapter: Path | str, device: str, plugins: Sequence[Path] = (), weights: Sequence[str] = ()
) -> AdaptedModel:
    """Load the network of a finished cell for restoration.

    Raises:
        PetlirError: there is no record, the cell did not finish, or the adapter does not fit.
    """
    folder = cell_folder(adapter)
    return finished(folder, context_of(plugins, weights=weights), pick(device))


def cell_folder(where: Path | str) -> Path:
    """Return the folder of a cell, given the folder, a file in it, or `hub:OWNER/NAME` with an optional `@REVISION`.

    Raises:
        PetlirError: the folder does not exist or does not contain a record, or the hub does not have it.
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
    """Return the folder of an adapter from the hub, checked against the digest in its record."""
    folder = download_files(source, (RECORD, ADAPTER))
    record = read_record(folder / RECORD)
    digest = record.digests.adapter if isinstance(record, Done) else None
    if hashlib.sha256((folder / ADAPTER).read_bytes()).hexdigest() != digest:
        raise PetlirError(f"{ADAPTER} of {source} is not the adapter of its record: its SHA-256 differs")
    return folder
