"""Archives of results: written atomically, and unpacked only if they contain no unexpected file.

An archive is a zip file with these files:

    submission.json                                      the submitter, the tuning, and a digest of every other file
    cells/<backbone>/<task>/<cell>/record.json           as in a store, with adapter.safetensors
    cells/<backbone>/<task>/<cell>/restored/<set>/*.png  and restored@<way> for each other restoration mode
    tuning/<selection>/*.json                            the trials of learning rates, as in a store
    plugins/<digest>/*.py                                the source of plugins, for reading; it is never run

An unpacked archive is a store. Clean and degraded images are left out, since most image sets may not be redistributed.
"""

from __future__ import annotations

import lzma
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from petlir.benchmark.errors import PetlirError, Unwritable

MANIFEST = "submission.json"
NAME = r"[A-Za-z0-9._=+-]*[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*"
FOLDER = r"(?!\.\.?/)[^/\\\0]+/"
IMAGE = rf"restored(@[a-z0-9-]+)?(\+x8)?/{NAME}/({FOLDER})*[^/\\\0]+\.png"
CELL_FILE = rf"cells/{NAME}/{NAME}/{NAME}/(record\.json|adapter\.safetensors|{IMAGE})"
TRIAL = r"tuning/[0-9a-f]{64}/(half-of-[0-9]+/)?[0-9.e+-]+\.json"
SOURCE = rf"plugins/[0-9a-f]{{12}}/{NAME}\.py"
ALLOWED = re.compile(rf"{re.escape(MANIFEST)}|{CELL_FILE}|{TRIAL}|{SOURCE}")
LARGEST_FILE = 2**30
LARGEST_ARCHIVE = 64 * 2**30
"""The maximum size of an unpacked archive in bytes."""
STEEPEST = 200
"""The maximum compression ratio of a file; records have a ratio of about 20."""
CHUNK = 2**20
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, EOFError, ValueError)
"""The exceptions that `zipfile` raises for a damaged archive."""
MOMENT = (2000, 1, 1, 0, 0, 0)
"""The modification time of every file in an archive; it is constant so that archives of equal content are equal."""


def pack(files: Mapping[str, Path | bytes], path: Path) -> None:
    """Write an archive atomically; each of its files is given as content or as a path.

    Raises:
        PetlirError: a file name is not allowed in an archive; no archive was written.
        Unwritable: the file cannot be written.
    """
    for name in files:
        check_name(name, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".petlir-") as folder:
            whole = Path(folder) / path.name
            with zipfile.ZipFile(whole, "w") as archive:
                for name in sorted(files):
                    _add(archive, name, files[name])
            whole.replace(path)
    except OSError as error:
        raise Unwritable(f"cannot write {path}: {error.strerror}") from error


def _add(archive: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    entry = zipfile.ZipInfo(name, MOMENT)
    # images and adapters cannot be compressed any further
    packing = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
    archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes(), packing)


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive into an empty folder.

    Raises:
        PetlirError: the file is not an archive or is damaged; a file name in the archive is unexpected or points
            outside the folder; or the content is larger than declared, or exceeds the limit. Files
            unpacked before the error remain in `folder`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, path)
            for entry in archive.infolist():
                _extract(archive, entry, folder / entry.filename, path)
    except DAMAGED as error:
        raise PetlirError(f"{path} is not an archive of results: {error}") from error
    except RuntimeError as error:  # raised by zipfile for an encrypted archive
        raise PetlirError(f"{path} cannot be unpacked: {error}") from error
    except OSError as error:
        raise PetlirError(f"{path} cannot be unpacked: {error.strerror or error}") from error


def _check(archive: zipfile.ZipFile, path: Path) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    for name in names:
        check_name(name, path)
    (twice, times), *_ = Counter(names).most_common(1) or [("", 0)]
    if times > 1:
        raise PetlirError(f"{path} holds {twice} twice; expected each file once")
    if MANIFEST not in names:
        raise PetlirError(f"{path} holds no {MANIFEST}; expected an archive made by `petlir submit`")
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise PetlirError(f"{path} holds a link, {entry.filename}; expected only files")
        if entry.file_size > min(LARGEST_FILE, max(CHUNK, STEEPEST * entry.compress_size)):
            raise PetlirError(
                f"{path}: {entry.filename} would unpack to {entry.file_size:,} bytes; the archive is refused"
            )
    if sum(entry.compress_size for entry in entries) > path.stat().st_size:
        raise PetlirError(f"{path} holds files that overlap in the archive; the archive is refused")
    if sum(entry.file_size for entry in entries) > LARGEST_ARCHIVE:
        raise PetlirError(f"{path} would unpack to more than {LARGEST_ARCHIVE:,} bytes; the archive is refused")


def check_name(name: str, path: Path) -> None:
    """Raise PetlirError if a file of this name is not allowed in an archive."""
    if ALLOWED.fullmatch(name) is None or ".." in name.split("/"):
        raise PetlirError(f"{path}: the file name {name!r} is not valid in an archive of results and is refused")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, path: Path) -> None:
    """Extract a file, and raise PetlirError if it is larger than the archive declares."""
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with archive.open(entry) as source, target.open("xb") as file:
        while piece := source.read(CHUNK):
            left -= len(piece)
            if left < 0:
                raise PetlirError(
                    f"{path}: {entry.filename} is larger than the archive declares; the archive is refused"
                )
            file.write(piece)
