"""The recorded environment of a cell: machine, library versions and checkout."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from petlir.benchmark.degradations.jpeg import encoder
from petlir.benchmark.records import lock

LIBRARIES = ("numpy", "scikit-image", "scipy", "safetensors", "pyiqa", "peft")
CHECKOUT = Path(__file__).resolve().parents[2]


def environment(device: str, deterministic: bool, threads: int, precision: str) -> dict[str, object]:
    """Return the current environment as the field `environment` of a record.

    Args:
        device: `cpu`, `cuda` or `cuda:N`; a GPU is recorded by its product name.
        deterministic: whether torch was restricted to deterministic kernels.
        threads: number of CPU threads that the cell uses.
        precision: numerical precision of training, e.g. `float32`.
    """
    revision, dirty = git_state(CHECKOUT)
    libraries = {name: _version(name) for name in LIBRARIES} | {"JPEG encoder": encoder()}
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "petlir": _version("petlir") or "not installed",
        "platform": platform.platform(),
        "git_revision": revision,
        "git_dirty": dirty,
        "deterministic": deterministic,
        "precision": precision,
        "threads": threads,
        "lock": lock.digest(),
        "versions": {name: found for name, found in libraries.items() if found},
    }


def git_state(checkout: Path) -> tuple[str | None, bool | None]:
    """Return a checkout's git revision and whether it has uncommitted changes; (None, None) outside a checkout."""
    top = _git(checkout, "rev-parse", "--show-toplevel")
    # An installed copy may be inside another project's repository, whose revision does not describe petlir.
    if top is None or Path(top).resolve() != checkout.resolve():
        return None, None
    revision, changes = _git(checkout, "rev-parse", "--verify", "HEAD"), _git(checkout, "status", "--porcelain")
    return revision, None if revision is None or changes is None else bool(changes)


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
