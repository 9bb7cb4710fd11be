"""On anyone's own images: degrade as a task does, restore as a finished cell does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmark.bench import Bench
from benchmark.cell import Cell
from benchmark.degradation import Image, seed_of
from benchmark.degradations.resize import enlarge
from benchmark.devices import pick
from benchmark.errors import PetlirError
from benchmark.evaluation import restore_image, write_png
from benchmark.experiment import Subject, prepare
from benchmark.images.reading import images_in, read_image
from benchmark.plugins import find
from benchmark.records import RECORD, read_record


def degrade_folder(task: str, clean: Path, out: Path, seed: int, plugins: Sequence[Path]) -> int:
    """Degrade every image of `clean` into a PNG of its name in `out`; returns how many there were.

    Raises:
        PetlirError: the task has no degradation to apply, or an image cannot be read; nothing was written.
    """
    found = find(plugins).task(task)
    if found.degradation is None:
        raise PetlirError(f"task {task!r} has no degradation of its own: its images are pairs")
    degradation = found.degradation
    images = {name: read_image(path) for name, path in images_in(clean).items()}
    for name, image in images.items():
        if min(image.shape[:2]) < found.scale:
            size, least = f"{image.shape[1]}×{image.shape[0]}", f"{found.scale}×{found.scale}"
            raise PetlirError(f"image {name!r} in {clean} is {size} pixels; task {task!r} expects at least {least}")
    for name, image in images.items():
        height, width = (side // found.scale * found.scale for side in image.shape[:2])
        write_png(out / f"{name}.png", degradation.degrade(image[:height, :width], seed_of(task, name, seed)))
    return len(images)


def restore_folder(
    source: Path, out: Path, adapter: Path | None, bicubic: int | None, device: str, plugins: Sequence[Path]
) -> int:
    """Restore an image, or every image of a folder, into PNGs of their names in `out`; returns how many.

    Args:
        source: an image or a folder of images.
        out: folder to write to.
        adapter: a cell's folder, or a file in it.
        bicubic: enlarge by this factor instead of using a network.
        device: where to compute.
        plugins: plugin files.

    Raises:
        PetlirError: not exactly one of `adapter` and `bicubic` is given, or a file is not as expected.
    """
    if (adapter is None) == (bicubic is None):
        raise PetlirError("restore needs either --adapter (a finished cell) or --bicubic FACTOR")
    work = partial(enlarge, scale=bicubic) if bicubic is not None else _through(adapter, device, plugins)
    paths = images_in(source) if source.is_dir() else {source.stem: source}
    images = {name: read_image(path) for name, path in paths.items()}
    for name, image in images.items():
        write_png(out / f"{name}.png", work(image))
    return len(images)


def _through(adapter: Path | None, device: str, plugins: Sequence[Path]) -> Callable[[Image], Image]:
    """A finished cell as a function of an image."""
    assert adapter is not None
    subject = restorer(adapter, device, plugins)
    return lambda image: restore_image(subject.network, image, subject.heads)


def restorer(adapter: Path, device: str, plugins: Sequence[Path] = ()) -> Subject:
    """The network of a finished cell, ready to restore.

    Raises:
        PetlirError: there is no record, the cell did not finish, or the adapter does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not adapter.exists():
        raise PetlirError(f"adapter {adapter} does not exist; expected a cell's folder or a file in it")
    folder = adapter if adapter.is_dir() else adapter.parent
    record = read_record(folder / RECORD)
    if record["state"] != "done":
        raise PetlirError(f"{folder} holds a cell that is {record['state']}; expected a finished one")
    names = (
        "backbone",
        "method",
        "options",
        "label",
        "task",
        "track",
        "seed",
        "regime",
        "steps",
        "batch_size",
        "patch",
    )
    described = {name: record["cell"][name] for name in names}
    cell = Cell(**described, rate=record["cell"]["learning_rate"])
    bench = Bench(tuple(str(path.resolve()) for path in plugins))
    subject = prepare(cell, bench, pick(device))
    if subject.method.trains:
        path = folder / "adapter.safetensors"
        try:
            subject.adapted.load(load_file(path))
        except (SafetensorError, FileNotFoundError) as error:
            raise PetlirError(f"adapter {path} is missing or damaged: {error}") from error
    subject.adapted.eval()
    return subject
