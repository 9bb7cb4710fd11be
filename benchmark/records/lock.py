"""The locked environment: which version of each library this checkout was last tested with.

`requirements.lock` is written by `nox -s lock`; `pip install -e . -c requirements.lock` gives that environment again.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from petlir.benchmark.errors import PetlirError

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
SHOWN = 5
"""How many libraries a line names."""


def drifted(lock: Path | None = None) -> list[str]:
    """A few words on each library that is not as locked: of another version, or lacking though it is needed.

    Libraries of extras may be lacking.

    Raises:
        PetlirError: there is no lock file, or a line of it is not NAME==VERSION.
    """
    found = []
    needed = _needed()
    for name, wanted in _locked(lock or LOCK).items():
        here = _installed(name)
        if here is None and name in needed:
            found.append(f"{name} is missing, locked is {wanted}")
        elif here is not None and here != wanted:
            found.append(f"{name} is {here}, locked is {wanted}")
    return found


def refuse_drift() -> None:
    """Refuse an environment that is not as locked.

    Raises:
        PetlirError: names what has drifted.
    """
    if found := drifted():
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        way = "pip install -e . -c requirements.lock"
        raise PetlirError(f"the environment is not as locked: {'; '.join(found[:SHOWN])}{more}; `{way}` mends it")


@cache
def digest() -> str | None:
    """SHA-256 of the lock file, where the environment is as locked; None where it is not, or there is no such file."""
    if not LOCK.exists() or drifted():
        return None
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def _locked(lock: Path) -> dict[str, str]:
    """Name → version, of the lines that are for this machine."""
    from packaging.requirements import InvalidRequirement, Requirement

    if not lock.is_file():
        raise PetlirError(f"there is no lock file {lock}; it lies in a checkout of the project")
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
    """The libraries that the project does not work without."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        listed = map(Requirement, requires("petlir") or [])
    except PackageNotFoundError:
        return set()
    return {canonicalize_name(one.name) for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})}


def _installed(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]  # torch's build for a device is no other version
    except PackageNotFoundError:
        return None
