"""Weight files in wheels from PyPI: pinned to a version, never imported, and verified by digest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from petlir.benchmark.errors import PetlirError, unknown

SCHEME = "pypi:"
FORM = "pypi:NAME==VERSION/MEMBER#sha256=HEX"
PARTS = re.compile(
    r"pypi:(?P<name>\w[\w.-]*)==(?P<version>\w[\w.!+-]*)/(?P<member>[^#\\:\s]+)#sha256=(?P<sha256>[0-9a-f]{64})",
    re.ASCII,
)
LIMIT = 2**31
"""The maximum size in bytes of an extracted member."""
PATIENCE = 600
"""The timeout of an installer in seconds."""
WHEEL_ALONE = ("--quiet", "--no-deps", "--only-binary", ":all:")
"""Options of pip and uv that install no dependencies and run no code of the package."""


@dataclass(frozen=True)
class WheelMember:
    """A file in a distribution on PyPI.

    Attributes:
        name: name of the distribution.
        version: version of the distribution.
        member: path of the file in the wheel.
        sha256: SHA-256 of the member's content, 64 hexadecimal digits.
    """

    name: str
    version: str
    member: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.member} of {self.requirement}"

    @property
    def requirement(self) -> str:
        """The requirement in the form that pip and uv accept."""
        return f"{self.name}=={self.version}"

    def remedy(self, *options: str) -> str:
        """Return the command that installs the distribution, for error messages."""
        return f"run `pip install {' '.join(['--no-deps', *options, self.requirement])}`"

    def download(self, folder: Path) -> Path:
        """Return the path of the member in the installed distribution, or download it into `folder`.

        This method does not check the member's content.

        Raises:
            PetlirError: the distribution cannot be downloaded or lacks the member, or its wheel is damaged.
        """
        found = _version(self.name)
        if found == self.version:
            return self._installed()
        if find_spec("pip") is not None:
            installer = [sys.executable, "-m", "pip", "download", "--retries", "1", "--dest"]
        elif uv := shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent):
            installer = [uv, "pip", "install", "--python", sys.executable, "--target"]
        else:
            raise PetlirError(f"{self} cannot be fetched: neither pip nor uv is available; {self.remedy()}")
        if not _succeeds([*installer, str(folder), *WHEEL_ALONE, self.requirement], folder):
            lack = f"only {found} is installed" if found else "it is not installed"
            raise PetlirError(
                f"{self} cannot be fetched, and {lack}; {self.remedy()} on a machine that can reach the package index"
            )
        wheel = next(folder.glob("*.whl"), None)
        return self._unpacked(folder) if wheel is None else self._extracted(wheel, folder)

    def _installed(self) -> Path:
        distribution = metadata.distribution(self.name)
        listed = (distribution.read_text("RECORD") or "").splitlines()
        self._check_member(line.rpartition(",")[0].rpartition(",")[0] for line in listed)
        return Path(str(distribution.locate_file(self.member)))

    def _unpacked(self, folder: Path) -> Path:
        self._check_member(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        return folder / self.member

    def _extracted(self, wheel: Path, folder: Path) -> Path:
        """Extract the member into `folder` under its bare file name, so that paths in the wheel are never followed."""
        path = folder / PurePosixPath(self.member).name
        try:
            with zipfile.ZipFile(wheel) as archive:
                self._check_member(archive.namelist())
                size = archive.getinfo(self.member).file_size
                if size > LIMIT:
                    raise PetlirError(f"{self} has {size:,} bytes; expected at most {LIMIT:,}")
                with archive.open(self.member) as packed, path.open("wb") as file:
                    shutil.copyfileobj(packed, file)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise PetlirError(
                f"{self}: the wheel {wheel.name} is truncated or damaged: {error}; {self.remedy()}"
            ) from error
        return path

    def _check_member(self, names: Iterable[str]) -> None:
        """Raise PetlirError if the member is missing; the message suggests the nearest name with the same suffix."""
        found = list(names)
        if self.member not in found:
            kind = PurePosixPath(self.member).suffix
            raise unknown(f"file in {self.requirement}", self.member, [one for one in found if one.endswith(kind)])


def parse(source: str) -> WheelMember:
    """Parse a source of the form `pypi:NAME==VERSION/MEMBER#sha256=HEX`.

    Raises:
        PetlirError: a component of the source is missing or incomplete, or the member's path leaves the wheel.
    """
    found = PARTS.fullmatch(source)
    if found is None:
        raise PetlirError(f"source {source!r} is not understood; expected {FORM} with 64 hex digits")
    if not {"", ".", ".."}.isdisjoint(found["member"].split("/")):
        raise PetlirError(f"source {source!r} points outside the wheel; expected a plain path such as PACKAGE/FILE.pth")
    return WheelMember(**found.groupdict())


def _version(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _succeeds(command: list[str], folder: Path) -> bool:
    """Run an installer in an empty folder, where no user file can shadow its modules; return whether it succeeded."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
