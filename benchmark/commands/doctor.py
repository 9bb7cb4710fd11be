"""A check of the installation."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from petlir.benchmark.errors import FAULTS, PetlirError, counted, told
from petlir.benchmark.images.cache import cache_folder
from petlir.benchmark.images.cache_size import in_units, sizes

OPTIONAL = {"pyiqa": "iqa", "h5py": "mat", "peft": "peft", "ray": "ray", "s3fs": "s3", "submitit": "slurm"}
"""Optional packages, and the extras that install them."""


@dataclass(frozen=True)
class Finding:
    """The result of checking one part of the installation.

    Attributes:
        name: the part that was checked.
        ok: whether the part passed the check.
        about: a description of the part, or of its fault.
    """

    name: str
    ok: bool
    about: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'FAULT':<6} {self.name:<9} {self.about}"


def examine(data: Path | None) -> Iterator[Finding]:
    """Check each part of the installation; nothing is downloaded, and no files are left behind.

    Args:
        data: folder of image sets, or None if only the bundled sets are used.
    """
    checks: dict[str, Callable[[], str]] = {
        "petlir": _versions,
        "torch": _torch,
        "device": _device,
        "extras": _extras,
        "plugins": _plugins,
        "data": lambda: _data(data),
        "weights": _weights,
        "cache": _cache,
    }
    for name, check in checks.items():
        try:
            yield Finding(name, True, check())
        except FAULTS as error:  # a broken library may raise any exception
            yield Finding(name, False, str(error) if isinstance(error, PetlirError) else told(error))


def _versions() -> str:
    return f"{version('petlir')}, Python {platform.python_version()}, {platform.platform()}"


def _torch() -> str:
    import torch

    return f"{torch.__version__}, built for {f'CUDA {torch.version.cuda}' if torch.version.cuda else 'the CPU'}"


def _device() -> str:
    import torch

    cores = counted(len(os.sched_getaffinity(0)), "CPU core")
    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return ", ".join([cores, *(f"{gpu.name} with {in_units(gpu.total_memory)}" for gpu in gpus)])


def _extras() -> str:
    return ", ".join(_extra(package, extra) for package, extra in OPTIONAL.items())


def _extra(package: str, extra: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package} (petlir[{extra}])"


def _plugins() -> str:
    from petlir.benchmark.plugins import find

    found = find()
    if found.broken:
        raise PetlirError("; ".join(found.broken))
    return f"{len(found.methods)} methods, {len(found.tasks)} tasks, {len(found.backbones)} backbones"


def _data(root: Path | None) -> str:
    from petlir.benchmark.images import catalogue
    from petlir.benchmark.images.imageset import HalfThere, Missing

    if root is not None and not root.is_dir():
        raise PetlirError(f"{root} is not a folder; expected the folder of image sets in --data or PETLIR_DATA")
    there, faults = 0, []
    for name in catalogue.names():
        try:
            catalogue.image_set(name).index(root)
            there += 1
        except Missing:
            continue
        except HalfThere as error:
            faults.append(str(error))
    if faults:
        raise PetlirError("; ".join(faults))
    where = root or "only the bundled sets: neither --data nor PETLIR_DATA is given"
    return f"{there} of {len(catalogue.names())} image sets found; {where}; `petlir images` checks the sets"


def _weights() -> str:
    from petlir.benchmark.weights import cards
    from petlir.benchmark.weights.sources import FOLDER, in_folder

    own, folder = in_folder(), os.environ.get(FOLDER)
    where = f"{len(own)} in {FOLDER}={folder}" if folder else f"{FOLDER} is not set"
    return f"{len(list(cards.shipped()))} shipped or fetched; {where}"


def _cache() -> str:
    folder, found = cache_folder(), sizes()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    with tempfile.TemporaryFile(dir=existing):
        parts = ", ".join(f"{name} {in_units(size)}" for name, size in found.most_common())
    return f"{folder}: {in_units(found.total())}{f' ({parts})' if parts else ''}"
