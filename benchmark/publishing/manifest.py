"""The manifest of a submission: author, tuning, use of test data, and the digest of every file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST, check_name
from petlir.benchmark.records.json_files import read_bytes
from petlir.benchmark.records.schema import CurvePoint
from petlir.benchmark.records.types import Number, Value
from petlir.benchmark.weights.sources import sha256

Text = Annotated[str, Field(min_length=1, max_length=2000)]


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
    validation_psnr: Value | None
    curve: list[CurvePoint]


def read(folder: Path) -> Submission | None:
    """Return the manifest of an unpacked archive, or None for a store without a manifest.

    Raises:
        PetlirError: the file is not a manifest of this version; the message names the first violation.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return Submission.model_validate_json(read_bytes(path), strict=False)
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
        PetlirError: a file was changed, is missing, is a link, or is not in the manifest; the message names the first
            such file.
    """
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(present):
        check_name(name, folder)
        if (folder / name).is_symlink():
            raise PetlirError(f"{name} is a link; expected only files")
    for name in sorted(submission.files.keys() - present):
        raise PetlirError(f"{name} is listed in {MANIFEST}, but is missing")
    for name in sorted(present - submission.files.keys()):
        raise PetlirError(f"{name} is not listed in {MANIFEST}; expected only listed files")
    for name, expected in sorted(submission.files.items()):
        if sha256(folder / name) != expected:
            raise PetlirError(f"{name} was changed: its digest differs from the digest in {MANIFEST}")


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
            trial = Trial.model_validate_json(path.read_bytes(), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise PetlirError(f"{name} is not a trial of a learning rate: {first['loc']}: {first['msg']}") from error
        if path.stem != f"{trial.rate:g}":
            raise PetlirError(
                f"{name} is a trial of the rate {trial.rate:g}; expected the file name {trial.rate:g}.json"
            )
