"""The locked environment: the library versions that this checkout was last tested with.

`nox -s lock` writes `requirements.lock`; `pip install -e . -c requirements.lock` reproduces that environment.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from petlir.benchmark.errors import PetlirError

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
SHOWN = 5
"""The maximum number of libraries named in a message."""


def drifted(lock: Path | None = None) -> list[str]:
    """Return a phrase for each library whose version differs from the lock, or that is required but missing.

    Libraries that only extras require may be missing.

    Raises:
        PetlirError: there is no lock file, or a line is not NAME==VERSION.
    """
    found = []
    needed = _needed()
    for name, wanted in _locked(lock or LOCK).items():
        here = _installed(name)
        if here is None and name in needed:
            found.append(f"{name} is missing, but {wanted} is locked")
        elif here is not None and here != wanted:
            found.append(f"{name} is {here}, but {wanted} is locked")
    return found


def refuse_drift() -> None:
    """Raise an error if the environment differs from the lock.

    Raises:
        PetlirError: the environment differs from the lock; the message names up to `SHOWN` libraries.
    """
    if found := drifted():
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        way = "pip install -e . -c requirements.lock"
        raise PetlirError(f"the environment differs from the lock: {'; '.join(found[:SHOWN])}{more}; `{way}` fixes it")


@cache
def digest() -> str | None:
    """Return the SHA-256 of the lock file; None if the environment differs or the lock file is missing."""
    if not LOCK.exists() or drifted():
        return None
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def _locked(lock: Path) -> dict[str, str]:
    """Return the locked version of each library, by name; lines for other machines are skipped."""
    from packaging.requirements import InvalidRequirement, Requirement

    if not lock.is_file():
        raise PetlirError(f"there is no lock file {lock}; expected a checkout of the project")
    found = {}
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            one = Requirement(line)
        except InvalidRequirement:
            raise PetlirError(f"{lock.name}, line {number}: {line!r} is not of the form NAME==VERSION") from None
        if one.marker is None or one.marker.evaluate():
            found[one.name] = str(one.specifier).removeprefix("==")
    return found


def _needed() -> set[str]:
    """Return the names of the libraries that the project requires without extras."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        listed = map(Requirement, requires("petlir") or [])
    except PackageNotFoundError:
        return set()
    return {canonicalize_name(one.name) for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})}


def _installed(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]  # builds of torch for other devices count as the same version
    except PackageNotFoundError:
        return None
