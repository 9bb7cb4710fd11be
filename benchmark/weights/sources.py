"""Locations of a backbone's weights: a file, the hub, a wheel, or the folder in `PETLIR_WEIGHTS`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

from petlir.benchmark import hub
from petlir.benchmark.errors import PetlirError, resolved, unknown
from petlir.benchmark.weights import pypi

FOLDER = "PETLIR_WEIGHTS"
"""The environment variable that names a folder; the file `NAME.pth` in this folder holds the weights of backbone NAME.
"""
UNTRAINED = "none"
"""The backbone `NAME:none` is NAME with random weights; the backbone `NAME:LABEL` is NAME with the weights that the
user gives for `NAME:LABEL`.
"""
SUFFIXES = (".safetensors", ".pth", ".pt")


def sources(given: Sequence[str], backbones: Collection[str]) -> tuple[str, ...]:
    """Return the user's own weights, each `NAME=SOURCE`; arguments take precedence over `PETLIR_WEIGHTS`.

    Args:
        given: `NAME=FILE` with a possibly relative path, `NAME=hub:OWNER/REPO@REVISION/FILE#sha256=HEX` or
            `NAME=pypi:NAME==VERSION/MEMBER#sha256=HEX`; NAME may be `NETWORK:LABEL`, so that a grid can contain the
            same network with different weights.
        backbones: the available networks.

    Raises:
        PetlirError: a source is invalid, or the folder in `PETLIR_WEIGHTS` has two files for one backbone; nothing is
            downloaded.
    """
    own = dict(_parse(text, backbones) for text in given)
    return tuple(f"{name}={source}" for name, source in ({**in_folder(), **own}).items())


def network_of(name: str) -> str:
    """Return the network part of a backbone's name, e.g. `nafnet-nano` for `nafnet-nano:none`."""
    return name.partition(":")[0]


def untrained(name: str) -> bool:
    """Return whether the name denotes random weights."""
    return name.partition(":")[2] == UNTRAINED


def fetch(source: str) -> Path:
    """Return the file that `source` names by a path or on the hub; a hub file is downloaded if necessary.

    Raises:
        PetlirError: the file is missing, cannot be downloaded, or does not match its digest.
    """
    if not source.startswith(hub.SCHEME):
        path = Path(source)
        if not path.is_file():
            raise PetlirError(f"weight file {path} does not exist")
        return path
    wanted = hub.parse(source)
    path = wanted.download()
    check_digest(path, wanted.sha256, f"{wanted.file} of {wanted.repo}")
    return path


def check_digest(path: Path, expected: str, what: str) -> None:
    """Raise PetlirError if the SHA-256 of a file is not the expected one."""
    if not path.is_file():
        raise PetlirError(f"{what} is missing; expected sha256 {expected[:12]}…")
    found = sha256(path)
    if found != expected:
        raise PetlirError(f"{what} is damaged or a different file: sha256 {found[:12]}…, expected {expected[:12]}…")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, recomputed only if the file has changed."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(text: str, backbones: Collection[str]) -> tuple[str, str]:
    name, _, source = text.partition("=")
    if not name or not source:
        raise PetlirError(
            f"weights {text!r} are not understood; expected NAME=FILE, NAME={hub.FORM} or NAME={pypi.FORM}"
        )
    if network_of(name) not in backbones:
        raise unknown("backbone in --weights", name, backbones)
    if untrained(name):
        raise PetlirError(f"weights {text!r}: {name} denotes random weights; expected another label, NAME:LABEL=FILE")
    for scheme, parse in ((hub.SCHEME, hub.parse), (pypi.SCHEME, pypi.parse)):
        if source.startswith(scheme):
            parse(source)
            return name, source
    return name, str(resolved(Path(source), home=True))


def in_folder() -> dict[str, str]:
    """Return backbone → weight file for the folder that `PETLIR_WEIGHTS` names.

    Raises:
        PetlirError: `PETLIR_WEIGHTS` does not name a folder, or the folder has two files for one backbone.
    """
    named = os.environ.get(FOLDER)
    if not named:
        return {}
    folder = resolved(Path(named), home=True)
    if not folder.is_dir():
        raise PetlirError(f"{FOLDER}={named} is not a folder; expected a folder with files such as ipt.pth")
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES:
            if path.stem in found:
                raise PetlirError(f"{FOLDER} has {path.name} and {Path(found[path.stem]).name}; expected one of them")
            found[path.stem] = str(path)
    return found
