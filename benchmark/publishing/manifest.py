"""The manifest of a submission: author, tuning, use of test data, and the digest of every file."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST, check_name
from petlir.benchmark.records.json_files import read_bytes
from petlir.benchmark.records.schema import CurvePoint
from petlir.benchmark.records.types import Number
from petlir.benchmark.terminal import one_line
from petlir.benchmark.weights.sources import sha256


def _displayed(text: str) -> str:
    if text != one_line(text).strip():
        raise ValueError("expected one line without control characters, and no blanks at its ends")
    return text


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_displayed)]


class Submission(BaseModel):
    """The manifest of an archive; `files` maps each path to its SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Literal["petlir-submission/1"] = "petlir-submission/1"
    by: Text
    tuning: Text
    used_test_data: bool
    created: AwareDatetime
    petlir: Text
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]


class Trial(BaseModel):
    """A trial of a learning rate, as `petlir tune` stores it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: dict[str, object]
    rate: Number
    validation_psnr: Number | None
    curve: list[CurvePoint]


def described(by: str, tuning: str, used_test_data: bool, files: Mapping[str, str]) -> Submission:
    """Return the manifest of a new submission; raise PetlirError if a text is invalid."""
    made = {"created": datetime.now(UTC), "petlir": version("petlir"), "files": files}
    try:
        return Submission.model_validate({"by": by, "tuning": tuning, "used_test_data": used_test_data, **made})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PetlirError(f"--{first['loc'][0]} {first['input']!r}: {first['msg']}") from error


def read(folder: Path) -> Submission | None:
    """Return the manifest of an unpacked archive, or None for a store without a manifest.

    Raises:
        PetlirError: the file is not a manifest of this version; the message names the first violation.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return Submission.model_validate_json(read_bytes(path), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PetlirError(
            f"{path.name} is not a valid petlir-submission/1 manifest: {where}: {first['msg']}"
        ) from error
    except ValueError as error:
        raise PetlirError(f"{path.name} is not a valid petlir-submission/1 manifest: {error}") from error


def check_files(submission: Submission, folder: Path) -> None:
    """Compare the SHA-256 of every file with the digest in the manifest.

    Raises:
        PetlirError: a file was changed, is missing, is a link or a device, or is not in the manifest; the message names
            the first such file.
    """
    present = {name for name in _entries(folder) if not (folder / name).is_dir()} - {MANIFEST}
    for name in sorted(present):
        check_name(name, folder)
    for name in sorted(submission.files.keys() - present):
        raise PetlirError(f"{name} is listed in {MANIFEST}, but is missing")
    for name in sorted(present - submission.files.keys()):
        raise PetlirError(f"{name} is not listed in {MANIFEST}; expected only listed files")
    for name, expected in sorted(submission.files.items()):
        if sha256(folder / name) != expected:
            raise PetlirError(f"{name} was changed: its digest differs from the digest in {MANIFEST}")


def _entries(folder: Path) -> Iterator[str]:
    """Yield the names of all files and folders; raise PetlirError for a link, a device or a pipe."""
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise PetlirError(f"{name} is a link; expected only files")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise PetlirError(f"{name} is a device or a pipe; expected only files")
        yield name


def check_places(submission: Submission, cells: Collection[str]) -> None:
    """Check that every file under `cells/` belongs to a finished cell.

    Args:
        submission: the manifest.
        cells: the folders of the finished cells.

    Raises:
        PetlirError: a file does not belong to a finished cell; the message names the first such file.
    """
    for name in sorted(submission.files):
        if name.startswith("cells/") and "/".join(name.split("/")[:4]) not in cells:
            raise PetlirError(f"{name} belongs to no finished cell; expected only files of finished cells")


def check_trials(folder: Path) -> None:
    """Check the format of each trial of a learning rate.

    Raises:
        PetlirError: a file is not a valid trial; the message names the first such file.
    """
    for path in sorted(folder.glob("tuning/**/*.json")):
        name = path.relative_to(folder).as_posix()
        try:
            trial = Trial.model_validate_json(read_bytes(path), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise PetlirError(f"{name} is not a trial of a learning rate: {first['loc']}: {first['msg']}") from error
        except ValueError as error:
            raise PetlirError(f"{name} is not a trial of a learning rate: {error}") from error
        if path.stem != f"{trial.rate:g}":
            raise PetlirError(
                f"{name} is a trial of the rate {trial.rate:g}; expected the file name {trial.rate:g}.json"
            )
